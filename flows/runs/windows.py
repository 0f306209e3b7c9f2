"""A window store as the input of a call: what it tells of reads and reference, and whether all is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffbio_core.problems import InputError, Problem
from diffbio_core.windows.grid import WEIGHED_BESIDE, Shard, WindowGrid
from diffbio_flows.runs.parameters import DEFAULT_WINDOW_LENGTH, CallParameters
from diffbio_flows.runs.preflight import RunInputs, check_places
from diffbio_io.regions import Intervals, resolve_regions
from diffbio_io.store.store import StoreError, WindowStore

_NAMED = 5


@dataclass(frozen=True)
class StoredWindows:
    """A window store that a call takes its windows from.

    Attributes:
        store: The store.
        sample: Whose reads.
        contigs: Length of every contig of the reference (bp), in its order.
        intervals: What it was asked to hold, by contig.
        without_reads: Contigs of which the reads' index knows that there are none.
        files: Identity of reads and reference that it was made of.
        warnings: What was odd about them.
    """

    store: WindowStore
    sample: str
    contigs: dict[str, int]
    intervals: dict[str, Intervals]
    without_reads: frozenset[str]
    files: dict[str, Any]
    warnings: tuple[Problem, ...]

    @classmethod
    def of(cls, url: str) -> StoredWindows:
        """What the store at a path or URL tells.

        Raises:
            StoreError: There is none that can be called from.
        """
        store = WindowStore(url)
        told = store.attributes
        try:
            return cls(
                store,
                told["sample"],
                {contig: int(length) for contig, length in told["contigs"].items()},
                {contig: tuple((low, high) for low, high in spans) for contig, spans in told["intervals"].items()},
                frozenset(told["without_reads"]),
                {"reads": told["reads"], "reference": told["reference"]},
                tuple(Problem(**warning) for warning in told["warnings"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            what = f"{url} does not tell what it was made of ({error!r})"
            raise StoreError(f"{what}: fill a store with diffbio ingest") from error


def check_windows(
    parameters: CallParameters, more: list[Problem], *, resumes: bool = False
) -> tuple[RunInputs, WindowGrid]:
    """See `check_run`, for a run that takes its windows from a store.

    Returns:
        What the preflight learnt, and the grid of the store.

    Raises:
        InputError: With all problems.
    """
    problems = [*more, *check_places(parameters, (), resumes=resumes)]
    url = str(parameters.windows)
    try:
        held = StoredWindows.of(url)
        grid = held.store.grid
    except StoreError as error:
        raise InputError([*problems, Problem("--windows", str(error), "Give a store that is whole.")]) from error
    except (ValueError, OSError, ImportError) as error:
        what = f"{url} cannot be opened: {' '.join(str(error).split())}"
        raise InputError([*problems, Problem("--windows", what, "Give a folder or URL of a store.")]) from error
    remedy = "Name contigs of the reference."
    problems += [
        Problem("--haploid-contigs", f"the reference has no contig {contig!r}", remedy)
        for contig in parameters.haploid
        if contig not in held.contigs
    ]
    if parameters.sample not in (None, held.sample):
        what = f"the windows are of {held.sample!r}, not {parameters.sample!r}"
        problems.append(Problem("--sample", what, "Leave it out, or give the store of that sample."))
    if parameters.window_length not in (DEFAULT_WINDOW_LENGTH, grid.reference_length):
        what = f"the store's windows have {grid.reference_length} positions, not {parameters.window_length}"
        problems.append(Problem("--window-length", what, "Leave it out."))
    intervals: dict[str, Intervals] = {}
    try:
        intervals = _wanted(parameters, held)
    except InputError as error:
        problems += error.problems
    problems += _store_problems(held, grid, intervals)
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return RunInputs(held.sample, held.contigs, intervals, held.warnings), grid


def _wanted(parameters: CallParameters, held: StoredWindows) -> dict[str, Intervals]:
    """What is asked for, or all that the store was to hold; contigs without reads are left out, as in other runs."""
    if not parameters.region and parameters.regions is None:
        wanted: Mapping[str, Intervals] = held.intervals
    else:
        wanted = resolve_regions(held.contigs, parameters.region, parameters.regions)
    return {c: wanted[c] for c in held.contigs if c in wanted and c not in held.without_reads}


def _store_problems(held: StoredWindows, grid: WindowGrid, intervals: Mapping[str, Intervals]) -> list[Problem]:
    """What of the store is missing, damaged or of other reads."""
    subject = f"window store {held.store.url}"
    shards = [
        shard for c, spans in intervals.items() for shard in grid.shards(c, held.contigs[c], spans, WEIGHED_BESIDE)
    ]
    try:
        faults = held.store.faults(shards, held.files)
    except (OSError, StoreError) as error:
        return [Problem(subject, f"cannot be read ({error})", "Give a store that can.")]
    missing = [shard for shard, found in faults.items() if found == [WindowStore.ABSENT]]
    problems = []
    if missing:
        what = f"does not hold all windows asked for: {_names(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        regions = " ".join(f"--region {region}" for region in _spans(missing, grid, held.contigs))
        reads = f"--reads {held.files['reads'].get('path', '?')} --reference {held.files['reference'].get('path', '?')}"
        remedy = f"Fill it: `diffbio ingest {reads} --store {held.store.url} {regions}`, or ask for less by --region."
        problems.append(Problem(subject, what, remedy))
    for shard in [shard for shard in faults if shard not in missing]:
        what = f"shard {shard.name}: {'; '.join(faults[shard])}"
        problems.append(Problem(subject, what, "Run diffbio ingest as before: it makes again what is damaged."))
    return problems


def _names(shards: list[Shard]) -> str:
    named = ", ".join(shard.name for shard in shards[:_NAMED])
    return f"{named} and {len(shards) - _NAMED:,} more" if len(shards) > _NAMED else named


def _spans(shards: list[Shard], grid: WindowGrid, contigs: Mapping[str, int]) -> list[str]:
    """Regions that hold some shards, one per contig, counted from 1."""
    spans: dict[str, tuple[int, int]] = {}
    for shard in shards:
        start, stop = grid.core(shard, contigs[shard.contig])
        low, high = spans.get(shard.contig, (start, stop))
        spans[shard.contig] = min(low, start), max(high, stop)
    return [f"{contig}:{low + 1}-{high}" for contig, (low, high) in spans.items()]
