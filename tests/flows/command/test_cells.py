import json
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from diffbio_core.metrics import adjusted_rand_index
from diffbio_core.problems import InputError
from diffbio_flows.command.main import diffbio
from diffbio_flows.command.stage_progress import PlainReport
from diffbio_flows.runs.cells import CellsParameters, analyse_cells

anndata = pytest.importorskip("anndata")


def table(path, *, scale: float = 1.0):
    """Writes cells of two types in two batches; gives their types."""
    import pandas as pd
    from scipy.sparse import csr_matrix

    random = np.random.default_rng(0)
    types, batches = random.integers(0, 2, 80), random.integers(0, 2, 80)
    shares = random.dirichlet(np.full(30, 0.4), 2)[types] * np.exp(random.normal(0, 0.4, (2, 30)))[batches]
    counts = random.poisson(400 * shares / shares.sum(axis=1, keepdims=True)).astype(np.float32) * scale
    obs = pd.DataFrame({"batch": np.array(["x", "y"])[batches]}, index=[f"cell{i}" for i in range(80)])
    cells = anndata.AnnData(csr_matrix(counts), obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells.write_h5ad(path)
    return types


@pytest.mark.slow
def test_cells_are_embedded_clustered_and_drawn(tmp_path):
    types = table(tmp_path / "in.h5ad")
    options = ["--batch-key", "batch", "--clusters", "2", "--latent", "3", "--epochs", "20", "--json"]
    command = ["cells", str(tmp_path / "in.h5ad"), "--output", str(tmp_path / "out.h5ad"), *options]

    ended = CliRunner().invoke(diffbio, command, catch_exceptions=False, standalone_mode=False)

    summary = json.loads(ended.stdout)
    assert (summary["cells"], summary["genes"], summary["batches"], summary["epochs"]) == (80, 30, 2, 20)
    assert sum(summary["cluster_sizes"].values()) == 80
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert written.obsm["X_latent"].shape == written.obsm["X_corrected_diffbio"].shape == (80, 3)
    assert written.obsm["X_umap_diffbio"].shape == (80, 2)
    assert adjusted_rand_index(written.obs["cluster_diffbio"].to_numpy(str), types) > 0.8
    assert written.uns["diffbio_cells"]["parameters"]["seed"] == "0"
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("out.loss.png", "out.umap.png"))
    assert "autoencoder: 20/20, loss" in ended.stderr


def test_every_problem_is_told_at_once(tmp_path):
    (tmp_path / "out.loss.png").write_bytes(b"")

    with pytest.raises(InputError) as told:
        analyse_cells(CellsParameters(counts=tmp_path / "none.h5ad", output=tmp_path / "out.h5ad"))

    assert [problem.what for problem in told.value.problems] == ["no such file", "exists"]


def test_what_the_table_lacks_is_told(tmp_path):
    table(tmp_path / "in.h5ad", scale=0.5)

    with pytest.raises(InputError) as told:
        analyse_cells(CellsParameters(counts=tmp_path / "in.h5ad", output=tmp_path / "out.h5ad", batch_key="donor"))

    assert "has no column 'donor' of obs" in str(told.value)
    assert "which is no count" in str(told.value)
    assert not (tmp_path / "out.h5ad").exists()


def test_plain_progress_tells_stages_and_now_and_then_steps():
    said, clock = [], iter([0.0, 1.0, 2.0, 15.0, 16.0])
    report = PlainReport(said.append, clock=lambda: next(clock))

    report("reading", 0, 1, None)
    report("autoencoder", 1, 9, 5.0)
    report("autoencoder", 2, 9, 4.0)
    report("autoencoder", 9, 9, 3.0)

    assert said == ["reading", "autoencoder", "autoencoder: 2/9, loss 4.00", "autoencoder: 9/9, loss 3.00"]
