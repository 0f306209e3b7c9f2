import jax
import numpy as np
import pytest
from flax import nnx
from scipy.sparse import csr_matrix

from diffbio_core.operators.normalization import VAENormalizer, VAENormalizerConfig
from diffbio_core.sources.matrix import DenseCounts, SparseCounts
from diffbio_core.training.vae_training import (
    VAEObjective,
    VAESchedule,
    VAETrainingConfig,
    check_count_matrix,
    default_epochs,
    evidence_bound,
    train_vae,
)
from tests.diffbio_core.cell_samples import typed_counts

COUNTS, _ = typed_counts(cells=240, genes=40, dispersion=1.0)
SHORT = VAETrainingConfig(epochs=6, batch_size=64, held_out=0.2)


def autoencoder(likelihood: str = "nb", **config) -> VAENormalizer:
    settings = {"n_genes": 40, "hidden_dims": (16,), "latent_dim": 3, "likelihood": likelihood} | config
    return VAENormalizer(VAENormalizerConfig(**settings))


def test_training_lowers_the_bound_of_cells_that_it_did_not_see():
    vae, before = autoencoder(), autoencoder()

    history = train_vae(vae, SparseCounts(csr_matrix(COUNTS)), SHORT)

    assert history.held_out_cells.size == 48
    assert len(history.losses) == 6
    assert vae.deterministic
    untrained = evidence_bound(before, DenseCounts(COUNTS), cells=history.held_out_cells)
    assert history.held_out is not None
    assert history.held_out.loss < 0.9 * untrained.loss


def test_overdispersed_counts_are_likelier_under_the_negative_binomial_than_under_poisson():
    found = {
        likelihood: train_vae(autoencoder(likelihood), DenseCounts(COUNTS), SHORT).held_out
        for likelihood in ("poisson", "nb", "zinb")
    }

    assert found["nb"].reconstruction < found["poisson"].reconstruction
    assert found["zinb"].reconstruction < 1.01 * found["nb"].reconstruction


def test_extra_zeros_are_found_in_the_genes_that_have_them():
    random = np.random.default_rng(1)
    lost = COUNTS.copy()
    lost[:, ::2] *= random.random((240, 20)) < 0.5
    vae = autoencoder("zinb")

    train_vae(vae, DenseCounts(lost), VAETrainingConfig(epochs=20, batch_size=32, learning_rate=1e-2, held_out=0.0))

    extra = np.asarray(jax.nn.sigmoid(vae.normalise(lost, lost.sum(axis=1))["pi_logit"]))
    assert extra[:, ::2].mean() > 0.2
    assert extra[:, 1::2].mean() < 0.1


def test_every_cell_bears_its_share_of_the_prior():
    vae = autoencoder("zinb")
    vae.fc_pi_logit.kernel[...] = jax.numpy.ones((16, 40))
    batch = VAESchedule(240, SHORT).batch(3)
    keys = jax.random.split(jax.random.key(0), 64)
    arrays = batch.arrays(DenseCounts(COUNTS), np.zeros(240, np.int32))
    assert arrays["prior_weight"] == pytest.approx(1 / 192)

    objective = VAEObjective(vae)
    summed = jax.jit(objective)
    with_prior, weight = summed(objective.parameters, arrays, keys)
    without, _ = summed(objective.parameters, arrays | {"prior_weight": np.float32(0)}, keys)

    assert float(with_prior - without) == pytest.approx(float(weight) * 0.5 * 16 * 16 * 40 / 192, rel=1e-3)


def test_the_same_seed_gives_the_same_bits_dense_or_sparse():
    first, second = autoencoder(), autoencoder()

    train_vae(first, DenseCounts(COUNTS), SHORT)
    train_vae(second, SparseCounts(csr_matrix(COUNTS)), SHORT)

    for one, other in zip(jax.tree.leaves(nnx.state(first)), jax.tree.leaves(nnx.state(second)), strict=True):
        assert (one == other).all()


def test_a_loss_that_is_not_finite_is_told_with_its_step():
    with pytest.raises(ValueError, match=r"the loss of step \d+ is not finite"):
        train_vae(autoencoder(), DenseCounts(COUNTS), VAETrainingConfig(epochs=2, learning_rate=1e30, batch_size=64))


def test_progress_is_told_after_every_epoch():
    told = []

    train_vae(autoencoder(), DenseCounts(COUNTS), SHORT, report=lambda *standing: told.append(standing))

    assert [standing[:2] for standing in told] == [(epoch, 6) for epoch in range(1, 7)]


def test_epochs_fall_with_the_number_of_cells():
    assert [default_epochs(cells) for cells in (100, 20_000, 80_000, 10**9)] == [400, 400, 100, 1]


@pytest.mark.parametrize(
    ("value", "told"), [(np.nan, "cell 2 has nan for gene 3"), (-1.0, "cell 2 has -1.0 for gene 3")]
)
@pytest.mark.parametrize("form", [DenseCounts, lambda values: SparseCounts(csr_matrix(values))])
def test_what_is_no_count_is_told_by_cell_and_gene(form, value, told):
    counts = COUNTS.copy()
    counts[2, 3] = value

    with pytest.raises(ValueError, match=told):
        check_count_matrix("training", form(counts))


def test_an_empty_cell_is_told():
    counts = COUNTS.copy()
    counts[[4, 7]] = 0

    with pytest.raises(ValueError, match="cell 4 has no counts, nor have 1 of the next"):
        train_vae(autoencoder(), DenseCounts(counts), SHORT)


def test_other_genes_are_told():
    with pytest.raises(ValueError, match="counts have 40 genes, the autoencoder 41"):
        train_vae(autoencoder(n_genes=41), DenseCounts(COUNTS), SHORT)
