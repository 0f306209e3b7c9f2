"""The messages between a run and its workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from diffbio_core.reads.slippage import Slippage
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_flows.reports.distributions import Distributions
from diffbio_io.files.state import FileState


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs to process one shard; small, since every shard sends one.

    Attributes:
        shard: Which windows.
        grid: The grid that the shard is cut from.
        intervals: What was asked for of the shard's core, 0-based half-open, sorted.
        reads: BAM or CRAM file.
        reference: FASTA file.
        sample: Whose reads, and the name in the VCF.
        work: The run's work directory; may hold an index of the reference.
        slippage: Of the library; not needed where windows are read.
        haploid: What of ``intervals`` has one copy; the rest has two.
        model: Model directory; not needed to ingest.
        calls: Folder for the shard's calls and its marker; not needed to ingest.
        store: Window store to fill, a path or URL; None keeps windows in memory only.
        windows: Window store to take windows from instead of reads and reference, a path or URL.
        made_of: What the marker of a stored shard tells, or must tell, of where it comes from.
        gvcf: Whether reference blocks are wanted too.
        inputs: States of all files that are read, as the run began with them.
        model_identity: What `model_identity` says of the model.
        run: Id of the run, as its work directory has it; empty where there is none.
        frees_windows: Whether the windows are not needed once the shard's calls are committed.
        seconds_before: Time of the stages that another worker has taken, by name.
    """

    shard: Shard
    grid: WindowGrid
    intervals: tuple[tuple[int, int], ...]
    reads: str
    reference: str
    sample: str
    work: str
    slippage: Slippage = field(default_factory=Slippage)
    haploid: tuple[tuple[int, int], ...] = ()
    model: str = ""
    calls: str = ""
    store: str | None = None
    windows: str | None = None
    made_of: Mapping[str, Any] = field(default_factory=dict)
    gvcf: bool = False
    inputs: tuple[FileState, ...] = ()
    model_identity: str = ""
    run: str = ""
    frees_windows: bool = False
    seconds_before: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The shard's name, for files and messages."""
        return self.shard.name


@dataclass(frozen=True)
class ShardResult:
    """What a worker says about a finished shard; the calls themselves lie in files.

    Attributes:
        name: The shard's name.
        core_bp: Reference positions that were asked for and processed (bp).
        counters: Counts by name, added over shards: reads used, reads set aside by reason, candidates, windows.
        seconds: Time per stage.
        peak_memory_mb: Highest resident memory of the worker so far (MB).
        files: SHA-256 of each of the shard's files by its name's ending, such as ``.vcf.gz``.
        variants: Counts of the shard's records, the fields of `VariantCounts`.
        depths: Positions with a base of the reference that were asked for, by the number of reads that cover them.
        distributions: How the shard's records are spread.
    """

    name: str
    core_bp: int
    counters: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, int] = field(default_factory=dict)
    depths: Sequence[int] = field(default_factory=list)
    distributions: Distributions = field(default_factory=Distributions)

    @property
    def without_details(self) -> ShardResult:
        """The same without what only sums are made of: that of a genome's shards would take 100 MB."""
        return replace(self, depths=(), distributions=Distributions())

    @property
    def contig(self) -> str:
        """The contig that the shard is of."""
        return self.name.rpartition(".")[0]
