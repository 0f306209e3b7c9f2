"""Batch correction and the count autoencoder beside the tools that a user could pick: harmonypy and scvi-tools.

    python benchmarks/single_cell.py [--others PYTHON] [--only harmony|speed|vae ...] [--epochs 400] [--laws nb ...]
        [--counts H5AD]

`--others` is an interpreter of an environment of its own with harmonypy, scvi-tools and anndata. Both sides work on the
same arrays in the same run, in turn; times are of compiled and warm programs. `vae` needs raw counts; without a file it
draws overdispersed counts of 3,000 cells of eight types.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.sparse import csr_matrix, load_npz, save_npz

from diffbio_core.metrics import adjusted_rand_index, local_inverse_simpson
from diffbio_core.operators.normalization import VAENormalizer, VAENormalizerConfig
from diffbio_core.operators.normalization.vae_normalizer import LIKELIHOODS
from diffbio_core.operators.singlecell import (
    BatchCorrectionConfig,
    DifferentiableHarmony,
    SoftClusteringConfig,
    SoftKMeansClustering,
)
from diffbio_core.sources.matrix import SparseCounts
from diffbio_core.training.vae_training import VAETrainingConfig, evidence_bound, train_vae

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "expression"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", metavar="PYTHON")
    parser.add_argument("--only", nargs="*", choices=("harmony", "speed", "vae"), default=("harmony", "speed", "vae"))
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--laws", nargs="*", choices=LIKELIHOODS, default=LIKELIHOODS)
    parser.add_argument("--counts", type=Path, metavar="H5AD")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "harmony" in given.only:
            compare_harmony(given.others, folder)
        if "speed" in given.only:
            compare_speed(given.others, folder, given.rounds)
        if "vae" in given.only:
            compare_vae(given.others, folder, given.epochs, given.laws, given.counts)


def compare_harmony(others: str | None, folder: Path) -> None:
    """Print how near each side comes to R's Harmony, and how well it mixes."""
    components, donors = table("pbmc_3500_pcs.tsv.gz", "\t"), column("pbmc_3500_meta.tsv.gz", "\t", "donor")
    of_r = table("pbmc_3500_pcs_harmonized.tsv.gz", "\t")
    sides = {"diffbio": corrected(components, donors)}
    if others:
        sides["harmonypy"] = answer(others, folder, "harmony", components=components, batches=donors)["corrected"]
    print(f"donors of pbmc_3500: LISI {lisi(components, donors):.3f}, after R's Harmony {lisi(of_r, donors):.3f}")
    for side, found in sides.items():
        agreement = [np.corrcoef(found[:, i], of_r[:, i])[0, 1] for i in range(of_r.shape[1])]
        print(
            f"  {side:<10} LISI {lisi(found, donors):.3f}, correlation with R by component: "
            f"mean {np.mean(agreement):.4f}, least {min(agreement):.4f}"
        )
    components = table("cell_lines_pcs.csv.gz", ",")
    sets, lines = (column("cell_lines_meta.csv.gz", ",", name) for name in ("dataset", "cell_type"))
    sides = {"diffbio": corrected(components, sets)}
    if others:
        sides["harmonypy"] = answer(others, folder, "harmony", components=components, batches=sets)["corrected"]
    print(f"cell lines: iLISI {lisi(components, sets):.3f}, cLISI {lisi(components, lines):.3f}")
    for side, found in sides.items():
        soft = SoftKMeansClustering(SoftClusteringConfig(n_clusters=2, n_features=found.shape[1])).fit(found)
        labels = soft.get_hard_labels(soft.compute_assignments(jnp.asarray(found, float)))
        print(
            f"  {side:<10} iLISI {lisi(found, sets):.3f}, cLISI {lisi(found, lines):.3f}, "
            f"ARI of two clusters {adjusted_rand_index(np.asarray(labels), lines):.4f}"
        )


def compare_speed(others: str | None, folder: Path, rounds: int) -> None:
    """Print seconds for 50,000 cells, fit and correction together, and the ratio."""
    components, donors = table("pbmc_3500_pcs.tsv.gz", "\t"), column("pbmc_3500_meta.tsv.gz", "\t", "donor")
    random = np.random.default_rng(0)
    chosen = np.arange(50_000) % donors.size
    cells = components[chosen] + random.normal(0, 0.5, (50_000, components.shape[1]))
    corrected(cells, donors[chosen])
    ours, theirs = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        corrected(cells, donors[chosen])
        ours.append(time.perf_counter() - start)
        if others:
            theirs.append(answer(others, folder, "harmony", components=cells, batches=donors[chosen])["seconds"])
    print(f"50,000 cells x {cells.shape[1]}: diffbio {statistics.median(ours):.2f} s", end="")
    if others:
        both = zip(ours, theirs, strict=True)
        ratio = statistics.median(mine / other for mine, other in both)
        print(f", harmonypy {statistics.median(theirs):.2f} s, diffbio takes {ratio:.2f} times as long", end="")
    print()


def compare_vae(others: str | None, folder: Path, epochs: int, laws: Sequence[str], file: Path | None) -> None:
    """Print held-out losses of a fifth of the cells for each law, at equal epochs and on the same split."""
    counts = drawn_counts() if file is None else counts_of(file)
    order = np.random.default_rng(0).permutation(counts.shape[0])
    held_out, trained = order[: order.size // 5], order[order.size // 5 :]
    print(
        f"{counts.shape[0]:,} cells x {counts.shape[1]:,} genes, {epochs} epochs; held-out loss of a cell (ELBO, NLL)"
    )
    for likelihood in laws:
        vae = VAENormalizer(
            VAENormalizerConfig(n_genes=counts.shape[1], hidden_dims=(128,), latent_dim=10, likelihood=likelihood),
            rngs=nnx.Rngs(0),
        )
        start = time.perf_counter()
        train_vae(vae, SparseCounts(counts[trained]), VAETrainingConfig(epochs=epochs, held_out=0.0))
        seconds = time.perf_counter() - start
        bound = evidence_bound(vae, SparseCounts(counts[held_out]))
        line = f"  {likelihood:<8} diffbio {bound.loss:.2f}, {bound.reconstruction:.2f} in {seconds:.0f} s"
        if others:
            save_npz(folder / "trained.npz", counts[trained])
            save_npz(folder / "held_out.npz", counts[held_out])
            found = answer(others, folder, "vae", likelihood=np.array(likelihood), epochs=np.array(epochs))
            excess = bound.loss / float(found["loss"]) - 1
            line += f"; scvi-tools {found['loss']:.2f}, {found['reconstruction']:.2f} in {found['seconds']:.0f} s"
            line += f"; diffbio's ELBO loss is {100 * excess:+.2f} %"
        print(line, flush=True)


def corrected(components: np.ndarray, batches: np.ndarray) -> np.ndarray:
    labels = np.unique(batches, return_inverse=True)[1]
    cells = jnp.asarray(components, float)
    harmony = DifferentiableHarmony(BatchCorrectionConfig(n_features=cells.shape[1], n_batches=int(labels.max()) + 1))
    data = {"embeddings": cells, "batch_labels": labels}
    found = harmony.fit(cells, labels).apply(data, {}, None)[0]["corrected_embeddings"]
    return np.asarray(jax.block_until_ready(found))


def answer(others: str, folder: Path, what: str, **arrays: np.ndarray) -> dict[str, Any]:
    """What the other side makes of arrays."""
    np.savez(folder / "question.npz", **arrays)
    command = [others, str(HERE / "single_cell_others.py"), what, str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    found = json.loads(told)
    return found | ({"corrected": np.load(folder / "answer.npy")} if what == "harmony" else {})


def drawn_counts() -> csr_matrix:
    random = np.random.default_rng(7)
    cells, genes, types = 3000, 300, 8
    logits = random.normal(0, 1, (types, genes))[random.integers(0, types, cells)]
    logits = (
        logits + random.normal(0, 1, (cells, 4)) @ random.normal(0, 0.5, (4, genes)) + random.normal(-1, 1.5, genes)
    )
    shares = np.exp(logits)
    rates = random.lognormal(6, 0.4, (cells, 1)) * shares / shares.sum(axis=1, keepdims=True)
    theta = np.exp(random.normal(0.5, 1, genes))
    return csr_matrix(random.poisson(random.gamma(theta, rates / theta)).astype(np.float32))


def counts_of(file: Path) -> csr_matrix:
    if file.suffix == ".npz":
        return csr_matrix(load_npz(file))
    import anndata

    return csr_matrix(anndata.read_h5ad(file).X)


def lisi(embeddings: np.ndarray, labels: np.ndarray) -> float:
    return float(local_inverse_simpson(embeddings, labels).mean())


def table(name: str, delimiter: str) -> np.ndarray:
    with gzip.open(DATA / name, "rt") as file:
        return np.loadtxt(file, skiprows=1, delimiter=delimiter)


def column(name: str, delimiter: str, field: str) -> np.ndarray:
    with gzip.open(DATA / name, "rt") as file:
        return np.array([row[field] for row in csv.DictReader(file, delimiter=delimiter)])


if __name__ == "__main__":
    main()
