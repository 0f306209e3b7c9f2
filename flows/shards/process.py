"""One shard from reads to committed calls: ingest, store, call, genotype. What a worker spends its time on."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from functools import partial

from diffbio_cluster import peak_memory_mb
from diffbio_core.calling.copy_numbers import Spans, outside
from diffbio_core.calling.genotyping import AlleleEvidence, genotype_sites
from diffbio_core.calling.reference_confidence import reference_blocks
from diffbio_core.calling.sites import CalledSite
from diffbio_core.reads.thinning import IntervalReads
from diffbio_core.whole_file import naming
from diffbio_core.windows.depths import count_depths
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_core.windows.planes import ShardPlanes
from diffbio_flows.reports.distributions import Distributions
from diffbio_flows.reports.summary import count_variants
from diffbio_flows.shards.commit import check_wanted, commit_shard, load_shard
from diffbio_flows.shards.message import ShardResult, ShardTask
from diffbio_flows.shards.session import session
from diffbio_io.files.state import unchanged
from diffbio_io.variants.bgzf_blocks import bgzf_blocks
from diffbio_io.variants.gvcf import gvcf_text
from diffbio_io.variants.vcf import vcf_line

MIN_QUAL = 1.0
"""QUAL under which a site is not listed."""

PASS_QUAL = 6.0
"""QUAL under which a site is listed with the filter LowQual: 6 is three to one for a variant."""

PASS_GQ = 6.0
"""GQ under which a site is listed with the filter LowGQ: a genotype as likely wrong as right is no call."""


def process_shard(task: ShardTask) -> ShardResult:
    """Ingest and store one shard, or read it from a store; call and commit it."""
    clock = _Clock()
    if task.windows is not None:
        planes = session().windows(task).read(task.shard, session().buffers, task.made_of)
        clock.lap("read")
    else:
        planes = ingest_shard(task)
        clock.lap("ingest")
    done = load_shard(task.calls, task.name)
    if done is not None:  # another worker was given it meanwhile: this one took far too long
        return done
    check_wanted(task)
    if task.store is not None:
        with naming(task.store):
            session().store(task).write(planes, **task.made_of)
        clock.lap("store")
    evidence = session().call_stage(task)(planes)
    clock.lap("call")
    parts = _parts(task)
    wanted = sorted(
        site for ploidy, spans in parts.items() for site in _sites(planes, evidence, ploidy) if _holds(spans, site)
    )
    clock.lap("genotype")
    lines = list(map(vcf_line, wanted))
    contents: dict[str, str | bytes] = {".vcf.gz": bgzf_blocks("".join(lines).encode())}
    if task.gvcf:
        blocks = [reference_blocks(planes, spans, wanted, ploidy) for ploidy, spans in parts.items()]
        contents[".g.vcf"] = gvcf_text(task.shard.contig, blocks, wanted)
        clock.lap("gvcf")
    counters = {f"reads_{name}": number for name, number in planes.read_counts.items()}
    counters |= {"windows": task.shard.num_windows, "candidates": len(planes.candidates)}
    result = ShardResult(
        name=task.name,
        core_bp=sum(stop - start for start, stop in task.intervals),
        counters=counters,
        seconds={**task.seconds_before, **clock.seconds},
        peak_memory_mb=peak_memory_mb(),
        variants=asdict(count_variants(lines)),
        depths=count_depths(planes, task.intervals).tolist(),
        distributions=Distributions.of(lines),
    )
    committed = commit_shard(task.calls, result, contents, partial(check_wanted, task))
    if task.frees_windows:
        session().windows(task).free(task.shard)
    return committed


def _parts(task: ShardTask) -> dict[int, Spans]:
    """What was asked for, by the copies that there are of it."""
    parts = {2: outside(task.haploid, *task.intervals), 1: task.haploid}
    return {ploidy: spans for ploidy, spans in parts.items() if spans}


def _sites(planes: ShardPlanes, evidence: AlleleEvidence, ploidy: int) -> list[CalledSite]:
    return genotype_sites(planes, evidence, ploidy=ploidy, min_qual=MIN_QUAL, pass_qual=PASS_QUAL, pass_gq=PASS_GQ)


def _holds(spans: Spans, site: CalledSite) -> bool:
    return any(start <= site.position < stop for start, stop in spans)


def put_windows(task: ShardTask) -> ShardTask:
    """Decodes a shard into the run's window store; what is left to do takes its windows from there."""
    clock = _Clock()
    store = session().store(task)
    held = store.marker(task.shard)
    # An earlier run may have stopped between a shard's windows and its calls.
    if held is None or held["made_of"] != task.made_of:
        planes = ingest_shard(task)
        clock.lap("ingest")
        check_wanted(task)
        with naming(store.url):
            store.write(planes, **task.made_of)
        clock.lap("store")
    return replace(task, windows=task.store, store=None, seconds_before=clock.seconds)


def ingest_shard(task: ShardTask) -> ShardPlanes:
    """Planes and candidates of a shard, in memory that this thread's next shard uses again.

    Raises:
        FileChangedError: A file is not what it was when the run began.
    """
    held, shard, grid = session(), task.shard, task.grid
    with unchanged(task.inputs) as seen:
        reference, reads = held.files(task, seen)
        length = reference.contigs[shard.contig]
        number = reads.contig_number(shard.contig) if shard.contig in reads.contigs else -1
        interval = shard_interval(shard, grid, length, number)
        codes = reference.codes(shard.contig, *interval.scanned)
        found = IntervalReads.none(interval) if number < 0 else reads.read(interval, codes)
        planes = pack_shard(found, interval.under(codes), shard, grid, length, held.buffers)
        planes.slippage = task.slippage
        return planes


class _Clock:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Note the time since the last lap under a name."""
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now
