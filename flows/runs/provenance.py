"""How to make a result again: what determines its records, and how they were worked off this time."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from diffbio_core import __version__
from diffbio_core.models import load_card, model_identity
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.plan import CallPlan
from diffbio_io.regions import Intervals

DETERMINING = ("jax", "jaxlib", "numpy", "numba", "pysam")
"""Packages whose version may show in the last digit of a record."""

_OTHERS = ("distributed", "flax", "isal", "prefect", "zarr")
_MOST_SPANS = 100


def made_of(plan: CallPlan) -> dict[str, dict[str, str | int]]:
    """What determines the records, by what it is of; nothing of where files lie or of who worked them off.

    Args:
        plan: A checked run.

    Returns:
        The fields of a VCF header line by its ID. Reads are told by the `fingerprint` of their file, the model by its
        `model_identity` and by the SHA-256 of its parameters.

    Raises:
        ModelError: The model is no longer there.
    """
    reads, reference = plan.made_of["reads"], plan.made_of["reference"]
    card = load_card(plan.model)
    found: dict[str, dict[str, str | int]] = {
        "reads": {"Name": _name(reads), "Size": reads["size"], "Fingerprint": reads["fingerprint"]},
        "reference": {"Name": _name(reference)},
        "regions": regions(plan.intervals, plan.contigs),
        "model": {"Name": plan.model.name, "Identity": model_identity(card), "SHA256": card["parameters_sha256"]},
        "versions": {"diffbio": __version__, **{name: _version(name) for name in DETERMINING}},
    }
    haploid = sorted(set(plan.parameters.haploid) & plan.intervals.keys())
    options = {"HaploidContigs": ",".join(haploid), "Sex": plan.parameters.sex or ""}
    if any(options.values()):
        found["options"] = {name: value for name, value in options.items() if value}
    return found


def regions(intervals: Mapping[str, Intervals], contigs: Mapping[str, int]) -> dict[str, str | int]:
    """What was called, however it was asked for.

    Args:
        intervals: 0-based half-open, by contig.
        contigs: Length of contigs (bp).

    Returns:
        Number of intervals, positions in them (bp), SHA-256 of them as lines of BED, and, where they are not too many,
        themselves, counted from 1.
    """
    spans = [(contig, start, stop) for contig, found in intervals.items() for start, stop in found]
    bed = "".join(f"{contig}\t{start}\t{stop}\n" for contig, start, stop in spans)
    told = [
        contig if (start, stop) == (0, contigs[contig]) else f"{contig}:{start + 1}-{stop}"
        for contig, start, stop in spans
    ]
    return {
        "Intervals": len(spans),
        "Positions": sum(stop - start for _, start, stop in spans),
        "SHA256": hashlib.sha256(bed.encode()).hexdigest(),
        **({"Spans": ",".join(told)} if len(told) <= _MOST_SPANS else {}),
    }


def md5_of_reference(plan: CallPlan) -> dict[str, str]:
    """MD5 of the sequence of every contig that was called, as ``M5`` of ``@SQ`` has it.

    Raises:
        OSError: The reference, or the window store, cannot be read.
    """
    if plan.parameters.windows is not None:
        from diffbio_io.store.store import WindowStore

        store = WindowStore(plan.parameters.windows, plan.grid)
        return {contig: store.md5(contig) for contig in plan.intervals}
    from diffbio_io.fasta import md5_of_contigs
    from diffbio_io.reference import Reference

    with Reference(plan.parameters.files[1], plan.work.path) as reference:
        return md5_of_contigs(reference.indexed, plan.intervals)


def worked_off(parameters: CallParameters, started: datetime) -> dict[str, Any]:
    """How a run that ends now was worked off.

    Args:
        parameters: What it was asked for.
        started: When it began.

    Returns:
        Plain types: the command line of this process, the parameters, times, machine and versions.
    """
    return {
        "command": shlex.join(sys.argv),
        "parameters": parameters.model_dump(mode="json"),
        "cluster": parameters.cluster_config().kind,
        "started": started.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in sorted((*DETERMINING, *_OTHERS))},
    }


def _name(identity: Mapping[str, Any]) -> str:
    return Path(identity["path"]).name


def _version(package: str) -> str:
    """Its version, or that it is not installed by a name: a run need not fail over what it only tells."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
