"""From raw counts of two batches to embeddings without batch effects, and clusters; then real cell lines.

Run it with `python examples/single_cell.py`: in about a minute it prints how well batches mix and types stay apart,
before and after. `--cell-lines DIR` adds real cells: two cell lines in three data sets, one of them both lines half and
half, as principal components (`cell_lines_pcs.csv.gz` and `cell_lines_meta.csv.gz`, from the Harmony package).

A LISI of 1 says that near cells share a label, a LISI of 2 that two labels are evenly mixed: it should be high for
batches and 1 for types.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.sparse import csr_matrix

from diffbio_core.metrics import adjusted_rand_index, local_inverse_simpson
from diffbio_core.operators.singlecell import (
    BatchCorrectionConfig,
    DifferentiableHarmony,
    SoftClusteringConfig,
    SoftKMeansClustering,
)
from diffbio_core.pipelines import SingleCellPipeline, SingleCellPipelineConfig
from diffbio_core.training.vae_training import VAETrainingConfig


def main() -> None:
    """Analyse drawn cells, and real ones if they are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=600, help="cells to draw")
    parser.add_argument("--epochs", type=int, default=60, help="passes of the autoencoder over them")
    parser.add_argument("--cell-lines", type=Path, metavar="DIR", help="folder of the real cell lines")
    given = parser.parse_args()
    drawn_cells(given.cells, given.epochs)
    if given.cell_lines is not None:
        cell_lines(given.cell_lines)


def drawn_cells(cells: int, epochs: int) -> None:
    """Fit the whole pipeline to counts of four types in two batches, sparse as they come from a sequencer."""
    random = np.random.default_rng(0)
    types, batches = random.integers(0, 4, cells), random.integers(0, 2, cells)
    shares = random.dirichlet(np.full(100, 0.3), 4)[types] * np.exp(random.normal(0, 0.6, (2, 100)))[batches]
    rates = random.lognormal(6, 0.4, (cells, 1)) * shares / shares.sum(axis=1, keepdims=True)
    counts = csr_matrix(random.poisson(rates).astype(np.float32))

    pipeline = SingleCellPipeline(
        SingleCellPipelineConfig(
            n_genes=100, n_clusters=4, latent_dim=8, hidden_dims=(64,), enable_ambient_removal=False
        ),
        rngs=nnx.Rngs(0),
    )
    history = pipeline.fit(counts, batch_labels=batches, training=VAETrainingConfig(epochs=epochs, learning_rate=3e-3))
    found = pipeline.embed(counts, batch_labels=batches)
    print(f"drawn cells: loss of a cell {history.losses[0]:.1f} at first, {history.losses[-1]:.1f} in the end")
    tell("latent", found["latent"], batches, types)
    tell("corrected", found["corrected_embeddings"], batches, types)
    clusters = np.asarray(found["cluster_assignments"]).argmax(axis=1)
    print(f"clusters agree with types: {adjusted_rand_index(clusters, types):.3f}")


def cell_lines(folder: Path) -> None:
    """Correct and cluster real cells that come as principal components."""
    with gzip.open(folder / "cell_lines_pcs.csv.gz", "rt") as file:
        components = np.loadtxt(file, skiprows=1, delimiter=",")
    with gzip.open(folder / "cell_lines_meta.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    datasets = np.unique([row["dataset"] for row in rows], return_inverse=True)[1]
    lines = np.array([row["cell_type"] for row in rows])

    harmony = DifferentiableHarmony(BatchCorrectionConfig(n_features=20, n_batches=3)).fit(components, datasets)
    data = {"embeddings": jnp.asarray(components, float), "batch_labels": datasets}
    corrected = harmony.apply(data, {}, None)[0]["corrected_embeddings"]
    clustering = SoftKMeansClustering(SoftClusteringConfig(n_clusters=2, n_features=20)).fit(corrected)
    clusters = clustering.apply({"embeddings": corrected}, {}, None)[0]["cluster_labels"]
    print("real cell lines:")
    tell("components", components, datasets, lines)
    tell("corrected", corrected, datasets, lines)
    print(f"clusters agree with lines: {adjusted_rand_index(np.asarray(clusters), lines):.3f}")


def tell(what: str, embeddings, batches: np.ndarray, types: np.ndarray) -> None:
    """Print the LISI of batches and of types."""
    mixing, purity = (local_inverse_simpson(embeddings, labels).mean() for labels in (batches, types))
    print(f"{what}: LISI {mixing:.3f} of batches, {purity:.3f} of types")


if __name__ == "__main__":
    main()
