"""Differential expression beside DESeq2 in R and PyDESeq2: how close its numbers are, what it finds, how long it takes.

    python benchmarks/differential_expression.py [--pydeseq2 PYTHON] [--rscript RSCRIPT] [--rounds 3]
                                                 [--only pasilla|large|known ...]

`--pydeseq2` is an interpreter of an environment of its own with PyDESeq2, `--rscript` an Rscript with DESeq2. All sides
get the same counts in the same run, in turn; the first call of each is not counted, nor is the reading of files. Each
side tells its own peak of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
PASILLA = HERE.parents[1] / "shared" / "data" / "expression" / "pasilla_counts.csv.gz"
SETS = "pasilla", "large", "known"
SEEDS = range(10)
SINGLE_READ = "treated1", "untreated1", "untreated2"

R_SIDE = """
suppressMessages(library(DESeq2))
args <- commandArgs(TRUE)
counts <- as.matrix(read.csv(args[1], row.names = 1))
samples <- read.csv(args[2], row.names = 1, stringsAsFactors = TRUE)
samples$condition <- relevel(samples$condition, "untreated")
seconds <- c()
for (round in 0:as.integer(args[5])) {
  start <- Sys.time()
  dds <- DESeq(DESeqDataSetFromMatrix(counts, samples, as.formula(args[3])), quiet = TRUE)
  found <- results(dds, contrast = c("condition", "treated", "untreated"))
  seconds <- c(seconds, as.numeric(Sys.time() - start, units = "secs"))
}
table <- data.frame(lfc = found$log2FoldChange, p = found$pvalue, padj = found$padj, mean = found$baseMean,
  dispersion = dispersions(dds), row.names = rownames(counts))
write.csv(table, args[4])
trend <- attr(dispersionFunction(dds), "coefficients")
if (length(seconds) > 1) seconds <- seconds[-1]
cat(sprintf('{"seconds": [%s], "mb": %f, "trend": [%.8f, %.8f], "prior": %.8f}\\n', paste(seconds, collapse = ","),
  as.numeric(sub("[^0-9]*([0-9]+).*", "\\\\1", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024,
  trend[1], trend[2], attr(dispersionFunction(dds), "dispPriorVar")))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pydeseq2", metavar="PYTHON")
    parser.add_argument("--rscript", default=shutil.which("Rscript"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=SETS, default=SETS)
    parser.add_argument("--side", choices=["diffbio", "PyDESeq2"], help=argparse.SUPPRESS)
    parser.add_argument("--task", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps({"diffbio": diffbio, "PyDESeq2": pydeseq2}[given.side](*given.task)))
        return
    sides = {"diffbio": [sys.executable, __file__, "--side", "diffbio", "--task"]}
    with tempfile.TemporaryDirectory() as folder:
        if given.rscript:
            (Path(folder) / "side.R").write_text(R_SIDE)
            sides["DESeq2 in R"] = [given.rscript, str(Path(folder) / "side.R")]
        if given.pydeseq2:
            sides["PyDESeq2"] = [given.pydeseq2, __file__, "--side", "PyDESeq2", "--task"]
        if "pasilla" in given.only and PASILLA.is_file():
            for design in ("~ condition", "~ type + condition"):
                compare(f"pasilla, {design}", pasilla(), design, given.rounds, sides, Path(folder))
        if "large" in given.only:
            compare("20,000 genes x 200 samples", large(), "~ condition", 1, sides, Path(folder))
        if "known" in given.only:
            recover(sides, Path(folder))


def compare(
    name: str,
    case: tuple[pd.DataFrame, pd.DataFrame],
    design: str,
    rounds: int,
    sides: dict[str, list[str]],
    folder: Path,
) -> None:
    """Print time, memory and agreement of every side on one set of counts."""
    counts, samples = case
    counts.to_csv(folder / "counts.csv")
    samples.to_csv(folder / "samples.csv")
    print(f"\n{name}")
    tables: dict[str, pd.DataFrame] = {}
    ours = 0.0
    for side, command in sides.items():
        output = folder / f"{side.replace(' ', '_')}.csv"
        task = [str(folder / "counts.csv"), str(folder / "samples.csv"), design, str(output), str(rounds)]
        done = subprocess.run([*command, *task], capture_output=True, text=True, check=True)
        told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        seconds = statistics.median(told["seconds"])
        ours = ours or seconds
        print(f"  {side:12} {seconds:9.3f} s  {seconds / ours:6.1f} times ours  {told['mb']:6.0f} MB", end="")
        print(f"  trend {told['trend'][0]:.6f} {told['trend'][1]:.5f}  prior variance {told['prior']:.5f}")
        tables[side] = pd.read_csv(output, index_col=0)
    if "DESeq2 in R" in tables:
        for side in tables:
            if side != "DESeq2 in R":
                agreement(side, tables[side], tables["DESeq2 in R"])


def recover(sides: dict[str, list[str]], folder: Path) -> None:
    """Print the false discovery rate and the power of every side, where the genes that change are known."""
    rates: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for seed in SEEDS:
        counts, samples, changed = known(seed)
        counts.to_csv(folder / "counts.csv")
        samples.to_csv(folder / "samples.csv")
        for side, command in sides.items():
            output = folder / "found.csv"
            task = [str(folder / "counts.csv"), str(folder / "samples.csv"), "~ condition", str(output), "1"]
            subprocess.run([*command, *task], capture_output=True, check=True)
            found = (pd.read_csv(output, index_col=0)["padj"] < 0.05).to_numpy()
            rates[side].append(((found & ~changed).sum() / max(1, found.sum()), found[changed].mean()))
    print(f"\n5,000 genes x 12 samples, one gene in five changes fourfold, {len(SEEDS)} draws, padj < 0.05")
    for side, values in rates.items():
        (rate, power), error = np.mean(values, axis=0), np.std(values, axis=0)[0] / len(values) ** 0.5
        print(f"  {side:12} false discovery rate {rate:.4f} (standard error {error:.4f}), power {power:.4f}")


def agreement(side: str, table: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Print how far one side's numbers lie from R's."""
    high = truth["mean"] > 10
    change = (table["lfc"] - truth["lfc"]).abs()[high]
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = (np.log10(table["p"]) - np.log10(truth["p"])).abs()
    found, expected = set(table.index[table["padj"] < 0.05]), set(truth.index[truth["padj"] < 0.05])
    near = ((table["dispersion"] / truth["dispersion"] - 1).abs() < 0.1)[truth["dispersion"].notna()].mean()
    print(
        f"  {side} against R: |log2FC difference| median {change.median():.1e}, 99 % {change.quantile(0.99):.1e}; "
        f"dispersions within 10 %: {near:.4f}; |log10 p difference| 99 % {p_values.quantile(0.99):.1e}; "
        f"Jaccard at padj < 0.05: {len(found & expected) / max(1, len(found | expected)):.4f} of {len(expected)}; "
        f"NaN that differ: {(table['padj'].isna() != truth['padj'].isna()).sum()}"
    )


def diffbio(counts: str, samples: str, design: str, output: str, rounds: str) -> dict[str, Any]:
    """Our side, in a process of its own."""
    from diffbio_core.operators.statistical.differential_expression import differential_expression

    values, known = pd.read_csv(counts, index_col=0).T, pd.read_csv(samples, index_col=0)
    values = values.astype(np.int32)
    # Compiles the kernels.
    differential_expression(values.iloc[:, :2000], design, ("condition", "treated", "untreated"), samples=known)
    seconds = []
    for _ in range(int(rounds)):
        start = time.perf_counter()
        found = differential_expression(values, design, ("condition", "treated", "untreated"), samples=known)
        seconds.append(time.perf_counter() - start)
    columns = {
        "lfc": "log_fold_change",
        "p": "p_values",
        "padj": "padj",
        "mean": "base_mean",
        "dispersion": "dispersion",
    }
    table = pd.DataFrame({short: found[key] for short, key in columns.items()}, index=values.columns)
    table.to_csv(output, na_rep="NA")
    told = found.summary()
    trend = [told["trend_asymptote"], told["trend_extra"]]
    return {"seconds": seconds, "mb": peak_mb(), "trend": trend, "prior": told["prior_variance"]}


def pydeseq2(counts: str, samples: str, design: str, output: str, rounds: str) -> dict[str, Any]:
    """PyDESeq2's side, under its own interpreter."""
    import warnings

    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    warnings.simplefilter("ignore")
    values, known = pd.read_csv(counts, index_col=0).T, pd.read_csv(samples, index_col=0)
    printed = os.dup(1)
    os.dup2(2, 1)
    seconds = []
    for _ in range(int(rounds)):
        start = time.perf_counter()
        data = DeseqDataSet(counts=values, metadata=known, design=design, quiet=True)
        data.deseq2()
        test = DeseqStats(data, contrast=["condition", "treated", "untreated"], quiet=True)
        test.summary()
        seconds.append(time.perf_counter() - start)
    os.dup2(printed, 1)
    found = test.results_df
    table = found[["log2FoldChange", "pvalue", "padj", "baseMean"]].set_axis(["lfc", "p", "padj", "mean"], axis=1)
    table["dispersion"] = np.asarray(data.var["dispersions"])
    table.to_csv(output, na_rep="NA")
    trend = list(map(float, data.uns["trend_coeffs"]))
    return {"seconds": seconds, "mb": peak_mb(), "trend": trend, "prior": float(data.uns["prior_disp_var"])}


def peak_mb() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pasilla() -> tuple[pd.DataFrame, pd.DataFrame]:
    counts = pd.read_csv(PASILLA, index_col=0)
    condition = ["treated" if name.startswith("treated") else "untreated" for name in counts]
    kind = ["single" if name in SINGLE_READ else "paired" for name in counts]
    return counts, pd.DataFrame({"condition": condition, "type": kind}, index=counts.columns)


def large() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(1)
    genes, samples = 20_000, 200
    base = np.exp(rng.normal(4, 2, genes))
    dispersion = (0.05 + 2 / base) * np.exp(rng.normal(0, 0.5, genes))
    treated = np.repeat([0, 1], samples // 2)
    change = rng.normal(0, 1, genes) * (rng.random(genes) < 0.1)
    means = np.exp(np.log(base)[:, None] + np.outer(change, treated)) * np.exp(rng.normal(0, 0.3, samples))
    counts = rng.poisson(means * rng.gamma(1 / dispersion[:, None], dispersion[:, None], means.shape))
    names = [f"s{index}" for index in range(samples)]
    condition = np.where(treated, "treated", "untreated")
    table = pd.DataFrame(counts, index=[f"g{index}" for index in range(genes)], columns=names)
    return table, pd.DataFrame({"condition": condition}, index=names)


def known(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    genes, samples = 5_000, 12
    base = np.exp(rng.normal(5, 1, genes))
    dispersion = (0.05 + 1 / base) * np.exp(rng.normal(0, 0.5, genes))
    treated = np.repeat([0, 1], samples // 2)
    changed = rng.random(genes) < 0.2
    change = np.log(4) * changed * rng.choice([-1, 1], genes)
    means = np.exp(np.log(base)[:, None] + np.outer(change, treated)) * np.exp(rng.normal(0, 0.3, samples))
    counts = rng.poisson(means * rng.gamma(1 / dispersion[:, None], dispersion[:, None], means.shape))
    names = [f"s{index}" for index in range(samples)]
    condition = np.where(treated, "treated", "untreated")
    table = pd.DataFrame(counts, index=[f"g{index}" for index in range(genes)], columns=names)
    return table, pd.DataFrame({"condition": condition}, index=names), changed


if __name__ == "__main__":
    main()
