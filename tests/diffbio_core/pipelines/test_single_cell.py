import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.sparse import csr_matrix

from diffbio_core.checkpoints import load_checkpoint, save_checkpoint
from diffbio_core.metrics import adjusted_rand_index, local_inverse_simpson
from diffbio_core.pipelines import SingleCellPipeline, SingleCellPipelineConfig, create_single_cell_pipeline
from diffbio_core.training.vae_training import VAETrainingConfig

GENES, CELLS = 40, 150
TRAINING = VAETrainingConfig(epochs=25, batch_size=32, learning_rate=5e-3)


def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of three types in two batches, each with its own efficiency of every gene; batches; types."""
    random = np.random.default_rng(0)
    types, batches = random.integers(0, 3, CELLS), random.integers(0, 2, CELLS)
    shares = random.dirichlet(np.full(GENES, 0.4), 3)[types] * np.exp(random.normal(0, 0.6, (2, GENES)))[batches]
    rates = random.lognormal(6, 0.3, (CELLS, 1)) * shares / shares.sum(axis=1, keepdims=True)
    return random.poisson(rates).astype(np.float32), batches, types


COUNTS, BATCHES, TYPES = sample()
PROFILE = (COUNTS.sum(axis=0) / COUNTS.sum()).astype(np.float32)
DATA = {
    "counts": jnp.asarray(COUNTS),
    "ambient_profile": jnp.asarray(PROFILE),
    "batch_labels": jnp.asarray(BATCHES),
}


def pipeline(**config) -> SingleCellPipeline:
    settings = {"n_genes": GENES, "n_clusters": 3, "latent_dim": 4, "hidden_dims": (16,)} | config
    return SingleCellPipeline(SingleCellPipelineConfig(**settings), rngs=nnx.Rngs(0))


def fitted_pipeline() -> SingleCellPipeline:
    fitted = pipeline(enable_ambient_removal=False)
    fitted.fit(csr_matrix(COUNTS), batch_labels=BATCHES, training=TRAINING)
    return fitted


@pytest.fixture(scope="module")
def fitted() -> SingleCellPipeline:
    return fitted_pipeline()


def test_an_unfitted_pipeline_has_the_documented_keys():
    result, state, metadata = pipeline().apply({**DATA, "name": "x"}, {"s": 1}, {"m": 2})

    assert {key: result[key].shape for key in result if key not in (*DATA, "name")} == {
        "decontaminated_counts": (CELLS, GENES),
        "normalized": (CELLS, GENES),
        "latent": (CELLS, 4),
        "corrected_embeddings": (CELLS, 4),
        "embeddings_2d": (CELLS, 2),
        "cluster_assignments": (CELLS, 3),
    }
    assert all(jnp.isfinite(result[key]).all() for key in result if key != "name")
    np.testing.assert_allclose(result["cluster_assignments"].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(result["normalized"].sum(axis=1), 1, atol=1e-5)
    assert result["counts"] is DATA["counts"]
    assert (result["name"], state, metadata) == ("x", {"s": 1}, {"m": 2})


def test_stages_that_are_off_leave_what_the_documents_say():
    off = pipeline(
        enable_ambient_removal=False,
        enable_batch_correction=False,
        enable_dim_reduction=False,
        enable_clustering=False,
    )

    result = off.apply({"counts": DATA["counts"]}, {}, None)[0]

    assert "decontaminated_counts" not in result
    assert (result["corrected_embeddings"] == result["latent"]).all()
    assert (result["embeddings_2d"] == result["latent"][:, :2]).all()
    np.testing.assert_allclose(result["cluster_assignments"], 1 / 3)
    assert off.to_dag() == {"nodes": ["vae_normalizer"], "edges": []}


def test_a_fit_tells_types_apart_and_mixes_batches(fitted):
    result = fitted.apply(DATA, {}, None)[0]

    assert adjusted_rand_index(TYPES, result["cluster_assignments"].argmax(axis=1)) > 0.9
    before = local_inverse_simpson(result["latent"], BATCHES, 10).mean()
    after = local_inverse_simpson(result["corrected_embeddings"], BATCHES, 10).mean()
    assert after > max(before + 0.1, 1.5)


def test_the_same_seed_gives_the_same_bits(fitted):
    again = fitted_pipeline()

    for one, other in zip(jax.tree.leaves(nnx.state(fitted)), jax.tree.leaves(nnx.state(again)), strict=True):
        assert (one == other).all()


def test_cells_that_stay_sparse_are_embedded_as_apply_does(fitted):
    result = fitted.apply(DATA, {}, None)[0]

    embedded = fitted.embed(csr_matrix(COUNTS), batch_labels=BATCHES)

    for key in ("latent", "corrected_embeddings", "embeddings_2d", "cluster_assignments"):
        np.testing.assert_allclose(embedded[key], result[key], atol=1e-4)


def test_names_of_batches_are_taken_in_their_order(fitted):
    named = fitted.embed(COUNTS, batch_labels=np.array(["first", "second"])[BATCHES])

    np.testing.assert_allclose(named["latent"], fitted.embed(COUNTS, batch_labels=BATCHES)["latent"], atol=1e-6)


def test_cells_of_an_anndata_are_annotated(fitted):
    anndata = pytest.importorskip("anndata")
    pandas = pytest.importorskip("pandas")
    names = pandas.Categorical(np.array(["first", "second"])[BATCHES])
    cells = anndata.AnnData(
        csr_matrix(COUNTS), obs=pandas.DataFrame({"donor": names}, index=[f"c{i}" for i in range(CELLS)])
    )

    found = fitted.annotate(cells, batch_key="donor")

    np.testing.assert_allclose(cells.obsm["X_latent"], fitted.embed(COUNTS, batch_labels=BATCHES)["latent"], atol=1e-6)
    assert cells.obsm["X_umap_diffbio"].shape == (CELLS, 2)
    assert (cells.obs["cluster_diffbio"].astype(int) == np.asarray(found["cluster_assignments"]).argmax(axis=1)).all()
    with pytest.raises(ValueError, match="no column 'batch' of obs; there are"):
        fitted.annotate(cells, batch_key="batch")


def test_a_name_that_was_not_fitted_is_told():
    named = pipeline(enable_ambient_removal=False, enable_dim_reduction=False)
    labels = np.array(["a", "b"])[BATCHES]
    named.fit(COUNTS, batch_labels=labels, training=VAETrainingConfig(epochs=1, batch_size=32))

    assert named.batch_names == ("a", "b")
    with pytest.raises(ValueError, match=r"batches \['z'\] were not fitted; those that were are \['a', 'b'\]"):
        named.embed(COUNTS, batch_labels=np.where(np.arange(CELLS) == 3, "z", labels))
    with pytest.raises(ValueError, match="1 of 150 are missing, first that of 5"):
        named.embed(COUNTS, batch_labels=np.where(np.arange(CELLS) == 5, None, labels.astype(object)))


def test_a_batch_that_was_not_fitted_is_told(fitted):
    labels = np.where(np.arange(CELLS) == 7, 2, BATCHES)

    with pytest.raises(ValueError, match="batch_labels has 2 for cell 7, expected 0 to 1"):
        fitted.apply({**DATA, "batch_labels": jnp.asarray(labels)}, {}, None)
    with pytest.raises(ValueError, match="batch_labels has 2 for cell 7, expected 0 to 1"):
        fitted.embed(COUNTS, batch_labels=labels)


def test_a_checkpoint_gives_the_same_results(fitted, tmp_path):
    save_checkpoint(fitted, tmp_path / "cells.safetensors")

    loaded = load_checkpoint(pipeline(enable_ambient_removal=False, n_batches=2), tmp_path / "cells.safetensors")

    expected, found = (each.embed(COUNTS, batch_labels=BATCHES)["embeddings_2d"] for each in (fitted, loaded))
    assert (expected == found).all()


def test_training_draws_and_evaluation_does_not(fitted):
    graph, state = nnx.split(fitted)
    training = nnx.merge(graph, state)
    training.train_mode()

    drawn = [training.apply(DATA, {}, None, jax.random.key(seed))[0]["latent"] for seed in (1, 1, 2)]

    assert (drawn[0] == drawn[1]).all()
    assert not (drawn[0] == drawn[2]).all()
    assert (fitted.apply(DATA, {}, None)[0]["latent"] == fitted.apply(DATA, {}, None)[0]["latent"]).all()


def test_gradients_of_the_documented_loss_reach_parameters_and_counts_under_jit():
    whole = pipeline()

    def loss(whole, counts):
        result = whole.apply({**DATA, "counts": counts}, {}, None)[0]
        truth = jax.nn.one_hot(jnp.asarray(TYPES), 3)
        return -(truth * jnp.log(result["cluster_assignments"] + 1e-10)).sum(axis=1).mean()

    of_pipeline, of_counts = jax.jit(jax.grad(loss, argnums=(0, 1)))(whole, DATA["counts"])

    assert jnp.isfinite(of_counts).all()
    assert (of_counts != 0).any()
    gradients = nnx.state(of_pipeline, nnx.Param)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    for stage, parameter in (
        (gradients["clustering"], "centroids"),
        (gradients["batch_correction"], "cluster_centroids"),
        (gradients["vae_normalizer"]["fc_mean"], "kernel"),
        (gradients["ambient_removal"]["encoder"]["contamination_proj"], "bias"),
    ):
        assert (stage[parameter][...] != 0).any()


def test_missing_batches_are_told_with_what_to_do():
    with pytest.raises(ValueError, match="batch correction needs the batch of every cell"):
        pipeline().fit(COUNTS)


def test_progress_is_told_by_stage():
    told = []

    pipeline(enable_batch_correction=False, enable_dim_reduction=False, enable_ambient_removal=False).fit(
        COUNTS,
        training=VAETrainingConfig(epochs=2, batch_size=32),
        report=lambda stage, done, steps, loss: told.append((stage, done, steps, loss is None)),
    )

    assert told == [("autoencoder", 1, 2, False), ("autoencoder", 2, 2, False), ("clusters", 0, 1, True)]


def test_the_factory_takes_the_documented_arguments():
    made = create_single_cell_pipeline(n_genes=30, n_clusters=4, latent_dim=5, enable_ambient_removal=False, seed=1)

    assert (made.config.n_genes, made.config.n_clusters, made.config.latent_dim) == (30, 4, 5)
    assert made.ambient_removal is None


def table(**obs):
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    names = [f"gene{place}" for place in range(GENES)]
    cells = [f"cell{place}" for place in range(CELLS)]
    obs = pandas.DataFrame(obs or {"batch": BATCHES.astype(str)}, index=cells)
    return anndata.AnnData(csr_matrix(COUNTS), obs=obs, var=pandas.DataFrame(index=names))


@pytest.fixture(scope="module")
def quick() -> SingleCellPipeline:
    made = pipeline(enable_ambient_removal=False)
    made.fit(table(), batch_key="batch", training=VAETrainingConfig(epochs=1))
    return made


def test_genes_are_taken_by_name_whatever_their_order(quick):
    import anndata

    known, more = table(), table()
    more.var_names = [f"other{place}" for place in range(GENES)]
    both = anndata.concat([more, known], axis=1, merge="first")[:, ::-1].copy()

    found = quick.embed(both, batch_key="batch")

    np.testing.assert_array_equal(found["latent"], quick.embed(known, batch_key="batch")["latent"])


def test_genes_that_were_fitted_and_lack_are_told(quick):
    other = table()
    other.var_names = ["another", *other.var_names[1:]]

    with pytest.raises(ValueError, match="lack 1 of the 40 genes that were fitted, such as 'gene0'"):
        quick.embed(other, batch_key="batch")


def test_numbers_of_a_column_are_names_of_batches_and_no_codes():
    made = pipeline(enable_ambient_removal=False, enable_dim_reduction=False)

    made.fit(table(lane=BATCHES * 93 + 7), batch_key="lane", training=VAETrainingConfig(epochs=1))

    assert made.batch_names == ("7", "100")
    assert made.batch_correction.config.n_batches == 2


def test_a_backed_table_is_fitted_as_one_in_memory(quick, tmp_path):
    import anndata

    table().write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")

    found = quick.embed(backed, batch_key="batch")["latent"]

    np.testing.assert_array_equal(found, quick.embed(table(), batch_key="batch")["latent"])


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        (np.log1p(COUNTS), {}, "look like logarithms"),
        (COUNTS[:2], {}, "3 clusters of 2 cells"),
        (COUNTS[:0], {}, "no cells"),
        ({"counts": COUNTS}, {"batch_key": "batch"}, "a dict lacks"),
    ],
)
def test_what_cannot_be_meant_is_refused(data, options, told):
    with pytest.raises(ValueError, match=told):
        pipeline(enable_ambient_removal=False, enable_batch_correction=False).fit(data, **options)


def test_two_places_of_the_batches_are_refused():
    with pytest.raises(ValueError, match="give one of them"):
        pipeline(enable_ambient_removal=False).fit(table(), batch_key="batch", batch_labels=BATCHES)


@pytest.mark.parametrize("value", [np.nan, -1])
def test_values_that_are_no_counts_are_not_embedded(quick, value):
    counts = COUNTS.copy()
    counts[2, 3] = value

    with pytest.raises(ValueError, match=f"cell 2 has {value:g}.* for gene 3"):
        quick.embed(counts, batch_labels=BATCHES)
