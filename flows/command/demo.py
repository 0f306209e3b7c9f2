"""``make demo``: a genome is simulated, called through the Prefect flow on a local Dask cluster, and judged."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from diffbio_flows.command.console import open_progress
from diffbio_flows.command.exit_status import exit_status
from diffbio_flows.command.stage_progress import open_stage_progress
from diffbio_flows.prefect_flows.terminal import call_in_prefect
from diffbio_flows.reports.tables import as_text, tables
from diffbio_flows.runs.evaluate import evaluate_calls
from diffbio_flows.runs.parameters import CallParameters
from diffbio_io.simulation.dataset import simulate_dataset


def run_demo(folder: Path, *, length: int = 500_000, contigs: int = 2) -> None:
    """Simulates, calls and evaluates; what an earlier demo left in the folder is replaced.

    Args:
        folder: Where everything goes, Prefect's own files too.
        length: Of each contig (bp).
        contigs: Number of contigs.
    """
    for name in ("simulated", "called", "prefect"):
        shutil.rmtree(folder / name, ignore_errors=True)
    say(f"Simulating {contigs} contigs of {length:,} bp with variants, and paired reads at 30x")
    with open_stage_progress() as report:
        dataset = simulate_dataset(
            folder / "simulated",
            length=length,
            contigs=contigs,
            depth=30.0,
            seed=1,
            progress=lambda stage, done, steps: report(stage, done, steps, None),
        )
    output = folder / "called" / "calls.vcf.gz"
    output.parent.mkdir()
    say("Calling: a Prefect flow, with Prefect's embedded server, whose shards run on a local Dask cluster")
    parameters = CallParameters(reads=dataset.reads, reference=dataset.reference, output=output, keep_windows=True)
    with open_progress(plain=True) as progress:
        summary = call_in_prefect(parameters, home=folder / "prefect", progress=progress)
    print(as_text(tables(summary)), flush=True)
    say("Comparing the calls with the simulated truth")
    table = evaluate_calls(dataset.truth, output, dataset.reference, confident=dataset.confident)
    print(table.to_text(), flush=True)
    say("What there is to look at")
    places = {
        "VCF": summary.output,
        "window store": summary.store,
        "report": summary.report,
        "truth": dataset.truth,
        "reads": dataset.reads,
    }
    for name, path in places.items():
        print(f"  {name:<12}  {path}")


def say(line: str) -> None:
    """A heading of the demo's output."""
    print(f"\n== {line}", flush=True)


if __name__ == "__main__":
    sys.exit(exit_status(lambda: run_demo(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))))
