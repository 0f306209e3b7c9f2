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


def told_by(path, **settings):
    with pytest.raises(InputError) as told:
        analyse_cells(CellsParameters(counts=path / "in.h5ad", output=path / "out.h5ad", **settings))
    assert not (path / "out.h5ad").exists()
    return [str(problem) for problem in told.value.problems]


def test_no_output_may_be_the_input_or_another_output(tmp_path):
    table(tmp_path / "in.h5ad")

    of_input = told_by(tmp_path, model=tmp_path / "in.h5ad", force=True)
    of_output = told_by(tmp_path, model=tmp_path / "out.h5ad", force=True)

    assert of_input == [f"{tmp_path}/in.h5ad: is the input, too. Name another file."]
    assert of_output == [f"{tmp_path}/out.h5ad: is the file of the cells, too. Name another file."]


def changed(path, change):
    """A table whose AnnData was changed before it was written."""
    table(path / "in.h5ad")
    cells = anndata.read_h5ad(path / "in.h5ad")
    change(cells)
    cells.write_h5ad(path / "in.h5ad")


def test_a_column_with_a_value_for_each_cell_is_no_batch(tmp_path):
    changed(tmp_path, lambda cells: cells.obs.insert(0, "depth", np.arange(80) * 1.5))

    (told,) = told_by(tmp_path, batch_key="depth")

    assert "column 'depth' of obs has 80 values for 80 cells, which are no batches" in told


def test_cells_without_batch_and_cells_without_counts_are_named(tmp_path):
    def change(cells):
        cells.obs["batch"] = cells.obs["batch"].astype(object)
        cells.obs.iloc[3, 0] = np.nan
        cells.X = cells.X.multiply(np.arange(80)[:, None] != 5).tocsr()

    changed(tmp_path, change)

    (batch,) = told_by(tmp_path, batch_key="batch")
    (counts,) = told_by(tmp_path)

    assert "obs column 'batch' lacks labels: 1 of 80 are missing" in batch
    assert "1 cells have no counts in the 30 genes analysed, first cell5" in counts


def test_more_clusters_than_cells_and_values_beyond_counts_are_refused(tmp_path):
    changed(tmp_path, lambda cells: setattr(cells, "X", cells.X * 1e30))

    told = told_by(tmp_path, clusters=81)

    assert "which is no count" in told[0]
    assert told[1] == "--clusters: 81 clusters of 80 cells. Ask for fewer clusters than there are cells."


def test_counts_of_which_each_stands_in_two_halves_are_counts(tmp_path):
    from scipy.sparse import csr_matrix

    def change(cells):
        whole = cells.X
        halves = np.repeat(whole.data / 2, 2), np.repeat(whole.indices, 2), whole.indptr * 2
        cells.X = csr_matrix(halves, shape=whole.shape)

    changed(tmp_path, change)

    # Only the clusters are told: the counts are what they add up to.
    assert [problem.split(":")[0] for problem in told_by(tmp_path, clusters=81)] == ["--clusters"]


@pytest.mark.slow
def test_few_cells_and_odd_batches_are_told(tmp_path):
    table(tmp_path / "all.h5ad")
    cells = anndata.read_h5ad(tmp_path / "all.h5ad")[:4].copy()
    cells.obs["batch"] = ["x", "x", "x", "y"]
    cells.write_h5ad(tmp_path / "in.h5ad")
    told = []

    summary = analyse_cells(
        CellsParameters(
            counts=tmp_path / "in.h5ad",
            output=tmp_path / "out.h5ad",
            batch_key="batch",
            clusters=2,
            latent=2,
            epochs=1,
        ),
        tell=told.append,
    )

    assert summary.held_out_loss is None
    assert "held-out" not in summary.to_text()
    assert told == ["--batch-key batch: batches of one cell, which says little of a batch: y"]


@pytest.mark.parametrize("command", [("cells", "in.h5ad"), ("perturb", "setup", "in.h5ad"), ("simulate",), ("train",)])
@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_out_of_range_is_bad_usage(diffbio_here, tmp_path, command, seed):
    done = diffbio_here(*command, "--output", "out.h5ad", "--seed", seed, cwd=tmp_path)

    assert done.returncode == 2
    assert "'--seed'" in done.stderr


def test_plain_progress_tells_stages_and_now_and_then_steps():
    said, clock = [], iter([0.0, 1.0, 2.0, 15.0, 16.0])
    report = PlainReport(said.append, clock=lambda: next(clock))

    report("reading", 0, 1, None)
    report("autoencoder", 1, 9, 5.0)
    report("autoencoder", 2, 9, 4.0)
    report("autoencoder", 9, 9, 3.0)

    assert said == ["reading", "autoencoder", "autoencoder: 2/9, loss 4.00", "autoencoder: 9/9, loss 3.00"]
