"""The other side of `perturbation.py`: runs under an interpreter that has the tool of each line installed.

Each line of standard input, `tool<tab>argument<tab>argument`, is answered by one line of JSON: the milliseconds, and
what was found.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import warnings
from typing import Any


def main() -> None:
    """Answer until the input ends; what tools print goes to standard error."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        tool, first, second = line.rstrip("\n").split("\t")
        answer = {"public": public, "cell-load": cell_load, "cell-eval": cell_eval}[tool](first, second)
        print(json.dumps(answer), file=answers, flush=True)


def public(split: str, file: str) -> dict[str, Any]:
    from diffbio.pipelines.perturbation import PerturbationPipeline, PerturbationPipelineConfig

    fields: dict[str, Any] = {
        "random": {},
        "zeroshot": {"split_mode": "zeroshot", "held_out_cell_types": ("T98G",)},
        "fewshot": {"split_mode": "fewshot", "held_out_perturbations": ("FOXO4", "MAP2K6")},
    }[split]
    start = time.perf_counter()
    PerturbationPipeline(PerturbationPipelineConfig(control_pert="control", batch_col="dataset", **fields)).setup(
        [file]
    )
    return {"ms": 1000 * (time.perf_counter() - start)}


def cell_load(toml: str, _: str) -> dict[str, Any]:
    from cell_load.data_modules import PerturbationDataModule
    from cell_load.utils.data_utils import GlobalH5MetadataCache

    GlobalH5MetadataCache()._cache.clear()  # as in a new process
    start = time.perf_counter()
    module = PerturbationDataModule(
        toml, num_workers=0, pert_col="perturbation", batch_col="dataset", control_pert="control", output_space="all"
    )
    module.setup()
    return {"ms": 1000 * (time.perf_counter() - start)}


def cell_eval(real: str, predicted: str) -> dict[str, Any]:
    from cell_eval import MetricsEvaluator

    for counted in (False, True):  # the first call compiles
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            evaluator = MetricsEvaluator(
                predicted, real, control_pert="control", pert_col="perturbation", num_threads=2, outdir=folder + "/out"
            )
            results, aggregated = evaluator.compute(profile="full")
        if counted:
            milliseconds = 1000 * (time.perf_counter() - start)
    mean = aggregated.filter(aggregated["statistic"] == "mean").to_dicts()[0]
    names = results["perturbation"].to_list()
    values = {
        metric: dict(zip(names, (float("nan") if value is None else value for value in results[metric]), strict=True))
        for metric in results.columns
        if metric != "perturbation"
    }
    return {
        "ms": milliseconds,
        "mean": {key: value for key, value in mean.items() if key != "statistic"},
        "values": values,
    }


if __name__ == "__main__":
    main()
