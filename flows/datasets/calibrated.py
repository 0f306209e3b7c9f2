"""A model with its probabilities calibrated on labelled sets, the last step of making one.

    python -m diffbio_flows.datasets.calibrated [--model DIR] --output DIR FOLDER... [--without REGION]...

Folders are as ``diffbio simulate`` writes them. ``--without CONTIG:START-STOP`` (0-based) keeps a part of them apart,
to measure by; how likely the labels are before and after is printed for both. Parameters stay as they are; slopes and
offsets go into the card.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from diffbio_core.calling.calibration import CLASSES, DEPTH_BANDS, Calibration, candidate_kinds, fit_calibration
from diffbio_core.calling.call_stage import CallStage
from diffbio_core.candidates.views import candidate_depth, cut_views
from diffbio_core.models import default_model_path, load_model
from diffbio_core.training.labels import TruthAlleles, candidate_keys, label_candidates
from diffbio_core.whole_file import write_whole
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_core.windows.planes import MAX_LANES
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.reference import Reference
from diffbio_io.regions import resolve_regions
from diffbio_io.variants.truth import GenotypedVcf

Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Logarithms (n, 3), labels, classes, depths, and whether each is kept apart."""


def main() -> None:
    """Calibrate a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument(
        "--model", type=Path, default=default_model_path(), help="model folder; the shipped one if not given"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the calibrated model")
    parser.add_argument("--reads", default="reads.bam", help="names of the reads in each folder, with commas")
    parser.add_argument(
        "--without", action="append", default=[], metavar="CONTIG:START-STOP", help="part to measure by"
    )
    options = parser.parse_args()
    stage = CallStage(load_model(options.model))
    files = [
        (folder, name) for folder in options.folders for name in options.reads.split(",") if (folder / name).exists()
    ]
    parts = [_labelled(folder, folder / name, stage, options.without) for folder, name in files]
    logs, labels, kinds, depth, apart = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    fitted = fit_calibration(logs[~apart], labels[~apart], kinds[~apart], depth[~apart])
    for title, chosen in (("fitted on", ~apart), ("kept apart", apart)):
        before, after = (_loss(c, logs[chosen], labels[chosen], kinds[chosen], depth[chosen]) for c in (None, fitted))
        print(f"{title}: {np.count_nonzero(chosen)} candidates, mean negative log likelihood {before} -> {after}")
    print(f"classes {CLASSES}, depth bands from 0, {DEPTH_BANDS}\nslope {fitted.slope}\noffset {fitted.offset}")
    shutil.copytree(options.model, options.output)
    card = json.loads((options.output / "card.json").read_text())
    card["calibration"] = {**fitted.to_card(), "sets": [f"{folder.name}/{name}" for folder, name in files]}
    write_whole(options.output / "card.json", json.dumps(card, indent=2) + "\n")


def _labelled(folder: Path, reads_path: Path, stage: CallStage, without: list[str]) -> Rows:
    """Labelled candidates of a folder's confident regions."""
    truth, grid = GenotypedVcf(folder / "truth.vcf.gz"), WindowGrid()
    rows: list[Rows] = []
    with (
        Reference(folder / "reference.fa.gz") as reference,
        AlignmentReader(reads_path, folder / "reference.fa.gz") as reads,
    ):
        for contig, confident in resolve_regions(reference.contigs, bed=folder / "confident.bed").items():
            length = reference.contigs[contig]

            def bases(start: int, stop: int, contig: str = contig) -> str:
                return reference.sequence(contig, start, stop)

            alleles = TruthAlleles(truth.variants(contig, bases), bases)
            for shard in grid.shards(contig, length, confident):
                interval = shard_interval(shard, grid, length, reads.contig_number(contig))
                codes = reference.codes(contig, interval.start, interval.stop)
                planes = pack_shard(reads.read(interval), codes, shard, grid, length)
                labels = label_candidates(planes, alleles, list(confident))
                evidence = stage(planes)
                known = np.flatnonzero(labels >= 0).astype(np.int32)
                views = cut_views(planes, known, 1, depth=candidate_depth(planes, MAX_LANES))
                kinds = candidate_kinds(views.length, views.tract)
                places = np.array([candidate_keys(planes)[index][0] for index in known], np.int64)
                apart = np.zeros(known.size, bool)
                for region in without:
                    name, span = region.split(":")
                    low, high = map(int, span.split("-"))
                    apart |= (name == contig) & (places >= low) & (places < high)
                rows.append((evidence.log_probabilities[known], labels[known], kinds, evidence.depth[known], apart))
    logs, labels, kinds, depth, apart = (np.concatenate(columns) for columns in zip(*rows, strict=True))
    return logs, labels, kinds, depth, apart


def _loss(
    fitted: Calibration | None, logs: np.ndarray, labels: np.ndarray, kinds: np.ndarray, depth: np.ndarray
) -> str:
    """Mean negative log likelihood by class."""
    found = logs if fitted is None else fitted(logs, kinds, depth)
    each = -found[np.arange(labels.size), labels]
    told = [f"{each[kinds == kind].mean():.4f}" if np.any(kinds == kind) else "-" for kind in range(len(CLASSES))]
    return " / ".join(told)


if __name__ == "__main__":
    main()
