"""A count autoencoder trained by workers ends in the same bits whatever their number, and goes on where it stopped."""

import jax
import numpy as np
import pytest
from flax import nnx
from scipy.sparse import csr_matrix

from diffbio_cluster import ClusterConfig, InProcessExecutor, open_executor
from diffbio_core.operators.normalization import VAENormalizer, VAENormalizerConfig
from diffbio_core.sources.matrix import DenseCounts, SparseCounts
from diffbio_core.training.vae_training import VAETrainingConfig, train_vae
from diffbio_flows.training import autoencoder
from diffbio_flows.training.autoencoder import train_on_workers
from tests.diffbio_core.cell_samples import typed_counts

COUNTS, _ = typed_counts(cells=150, genes=30, dispersion=1.0)
SHORT = VAETrainingConfig(epochs=3, batch_size=60, held_out=0.2)


def new(**config):
    settings = {"n_genes": 30, "hidden_dims": (12,), "latent_dim": 3, "likelihood": "zinb"} | config
    return VAENormalizer(VAENormalizerConfig(**settings), rngs=nnx.Rngs(1))


def bits(vae):
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(nnx.state(vae, nnx.Param)))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    vae = new()
    work = tmp_path_factory.mktemp("alone")
    return vae, train_on_workers(vae, DenseCounts(COUNTS), SHORT, executor=InProcessExecutor(), work=work)


@pytest.mark.slow
def test_two_workers_end_in_one_anothers_bits_however_the_work_is_split(tmp_path):
    found = []
    for workers in (1, 2):
        vae = new()
        with open_executor(ClusterConfig(workers=workers)) as executor:
            train_on_workers(
                vae, SparseCounts(csr_matrix(COUNTS)), SHORT, executor=executor, work=tmp_path / str(workers)
            )
        found.append(bits(vae))
    assert found[0] == found[1]


def test_it_learns_as_it_does_in_one_piece(alone):
    vae, history = alone
    whole = train_vae(new(), DenseCounts(COUNTS), SHORT)
    np.testing.assert_allclose(history.losses, whole.losses, rtol=0.03)
    np.testing.assert_array_equal(history.held_out_cells, whole.held_out_cells)
    assert history.held_out.loss == pytest.approx(whole.held_out.loss, rel=0.03)
    assert vae.deterministic


def test_a_stopped_training_goes_on_and_ends_in_the_same_bits(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "CHECKPOINT_SECONDS", 0.0)
    told = []

    def stop(epoch, epochs, loss):
        told.append(epoch)
        if len(told) == 2:
            raise KeyboardInterrupt

    work = {"executor": InProcessExecutor(), "work": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        train_on_workers(new(), DenseCounts(COUNTS), SHORT, report=stop, **work)
    vae = new()
    history = train_on_workers(vae, DenseCounts(COUNTS), SHORT, report=stop, **work)
    assert told == [1, 2, 2, 3]
    assert bits(vae) == bits(alone[0])
    assert history.losses == alone[1].losses


def test_other_cells_in_the_same_folder_begin_anew(alone, tmp_path):
    work = {"executor": InProcessExecutor(), "work": tmp_path}
    train_on_workers(new(), DenseCounts(COUNTS[::-1].copy()), SHORT, **work)
    vae = new()
    train_on_workers(vae, DenseCounts(COUNTS), SHORT, **work)
    assert bits(vae) == bits(alone[0])


def test_batches_are_told_to_the_decoder(tmp_path):
    labels = np.arange(150) % 2
    vae = new(use_batch_correction=True, n_batches=2)
    history = train_on_workers(
        vae, DenseCounts(COUNTS), SHORT, executor=InProcessExecutor(), work=tmp_path, batch_labels=labels
    )
    assert np.isfinite(history.losses).all()
