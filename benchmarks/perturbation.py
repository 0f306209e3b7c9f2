"""Setting up a perturbation experiment, and evaluating predictions of it, beside the tools that a user could pick.

    python benchmarks/perturbation.py [--file H5AD] [--oracle PYTHON] [--public PYTHON] [--rounds 7]

`--oracle` is an interpreter of an environment of its own with cell-load and cell-eval, `--public` one with the public
library. All sides work on the same file in the same run, in turn, warm: the first call of each is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from diffbio_core.evaluation.perturbation import CellGroups, evaluate_perturbations
from diffbio_core.pipelines import PerturbationPipeline, PerturbationPipelineConfig
from diffbio_core.sources import open_expression

HERE = Path(__file__).parent
DEVEL = HERE.parents[1] / "shared" / "data" / "expression" / "perturbench_devel.h5ad"
LABELS = {"control_pert": "control", "batch_col": "dataset"}
SPLITS: dict[str, dict[str, Any]] = {
    "random": {},
    "zeroshot": {"split_mode": "zeroshot", "held_out_cell_types": ("T98G",)},
    "fewshot": {"split_mode": "fewshot", "held_out_perturbations": ("FOXO4", "MAP2K6")},
}

Call = Callable[[str], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=DEVEL)
    parser.add_argument("--oracle", metavar="PYTHON")
    parser.add_argument("--public", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, other(given.public) as public, other(given.oracle) as oracle:
        compare_setups(given.file, Path(folder), given.rounds, public, oracle)
        if oracle:
            compare_metrics(given.file, Path(folder), oracle)


def compare_setups(file: Path, folder: Path, rounds: int, public: Call | None, oracle: Call | None) -> None:
    """Print milliseconds of each side's set-up, and how many times ours theirs takes."""
    toml = experiment(file, folder)
    sides: dict[str, dict[str, Callable[[], float]]] = {
        split: {
            "diffbio": timed(lambda fields=fields: PerturbationPipeline(config(**fields)).setup([file])),
            "diffbio, backed": timed(
                lambda fields=fields: PerturbationPipeline(config(backed=True, **fields)).setup([file])
            ),
        }
        for split, fields in SPLITS.items()
    }
    sides["TOML"] = {
        "diffbio": timed(lambda: PerturbationPipeline(config()).setup_experiment(toml)),
        "diffbio, backed": timed(lambda: PerturbationPipeline(config(backed=True)).setup_experiment(toml)),
    }
    if public:
        for split in SPLITS:
            sides[split]["public library"] = lambda split=split: public(f"public\t{split}\t{file}")["ms"]
    if oracle:
        sides["TOML"]["cell-load"] = lambda: oracle(f"cell-load\t{toml}\t-")["ms"]
    print(f"{'set-up':10} {'tool':18} {'ms':>10} {'times diffbio':>14}")
    for split, tools in sides.items():
        for run in tools.values():
            run()
        times = {tool: [run()] for tool, run in tools.items()}
        for _ in range(rounds - 1):
            for tool, run in tools.items():
                times[tool].append(run())
        ours = statistics.median(times["diffbio"])
        for tool, values in times.items():
            median = statistics.median(values)
            print(f"{split:10} {tool:18} {median:10.1f} {median / ours:14.2f}")


def compare_metrics(file: Path, folder: Path, oracle: Call) -> None:
    """Print every metric of one half of the K562 cells predicting the other, by both."""
    import anndata

    half = np.random.default_rng(0).integers(0, 2, open_expression(file).n_cells)
    paths = []
    for number, name in enumerate(("real", "predicted")):
        table = anndata.read_h5ad(file)
        table[(table.obs["cell_type"] == "k562").to_numpy() & (half == number)].write_h5ad(folder / f"{name}.h5ad")
        paths.append(folder / f"{name}.h5ad")

    def ours():
        real, predicted = (CellGroups.of(open_expression(path), control="control") for path in paths)
        return evaluate_perturbations(real, predicted, controls="predicted")

    ours()
    start = time.perf_counter()
    scores = ours()
    seconds = time.perf_counter() - start
    found = oracle(f"cell-eval\t{paths[0]}\t{paths[1]}")
    print(f"\nmetrics of 33 perturbations: diffbio {seconds:.2f} s, cell-eval {found['ms'] / 1000:.2f} s")
    print(f"{'metric':30} {'diffbio':>12} {'defined':>8} {'cell-eval':>12}   largest difference of a perturbation")
    for row in scores.rows:
        theirs = found["mean"].get(row.metric)
        line = f"{row.metric:30} {row.value:12.7g} {row.defined:8} {'-' if theirs is None else format(theirs, '12.7g')}"
        own, other_values = scores.predicted.values.get(row.metric), found["values"].get(row.metric)
        if own is not None and other_values is not None:
            theirs_by_name = np.array([other_values[name] for name in scores.perturbations], dtype=float)
            both = ~np.isnan(own) & ~np.isnan(theirs_by_name)
            line += f"   {np.abs(own - theirs_by_name)[both].max(initial=0):.1e} of {both.sum()}"
        print(line)


def config(**fields: Any) -> PerturbationPipelineConfig:
    return PerturbationPipelineConfig(**LABELS, **fields)


def experiment(file: Path, folder: Path) -> Path:
    """An experiment of one file, a cell type held out and two perturbations within another."""
    path = folder / "experiment.toml"
    path.write_text(
        f'[datasets]\ndevel = "{file}"\n[training]\ndevel = "train"\n[zeroshot]\n"devel.T98G" = "test"\n'
        '[fewshot."devel.k562"]\nval = ["HK2"]\ntest = ["FOXO4", "CBL+CNN1"]\n'
    )
    return path


def timed(call: Callable[[], Any]) -> Callable[[], float]:
    """A call as one that gives its milliseconds."""

    def run() -> float:
        start = time.perf_counter()
        call()
        return 1000 * (time.perf_counter() - start)

    return run


@contextmanager
def other(python: str | None) -> Iterator[Call | None]:
    """The other side, under its own interpreter: a line in, a line of JSON out."""
    if python is None:
        yield None
        return
    command = [python, str(HERE / "perturbation_others.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def call(line: str) -> dict[str, Any]:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        process.stdin.close()


if __name__ == "__main__":
    main()
