"""Speed of training with one and with two workers, and what part of a step goes into adding gradients up.

    python benchmarks/train_scaling.py --store w.zarr --truth t.vcf.gz --confident c.bed

The first steps of each run, which compile and fill the queues, are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from diffbio_flows import train_model

LEFT_OUT = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--confident", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    speeds: dict[int, float] = {}
    for workers in options.workers:
        with tempfile.TemporaryDirectory() as folder:
            train_model(
                store=options.store,
                truth=options.truth,
                confident=options.confident,
                output=Path(folder) / "model",
                epochs=1000,
                max_steps=options.steps,
                workers=workers,
            )
            lines = (Path(folder) / "model.work" / "steps.jsonl").read_text().splitlines()[LEFT_OUT:]
        steps = [json.loads(line) for line in lines]
        speeds[workers] = float(np.median([step["windows_per_second"] for step in steps]))
        parts = {name: sum(step[name] for step in steps) for name in ("read", "computed", "waited", "reduced")}
        whole = sum(parts.values())
        told = ", ".join(f"{name} {seconds / whole:.1%}" for name, seconds in parts.items())
        print(f"{workers} workers: {speeds[workers]:.1f} windows/s; {told}", flush=True)
    first = options.workers[0]
    for workers in options.workers[1:]:
        print(f"{workers} workers against {first}: {speeds[workers] / speeds[first]:.2f} times")


if __name__ == "__main__":
    main()
