"""What a call run did: variants by type, reads used and set aside, time and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from diffbio_flows.reports.distributions import Distributions, DistributionSum
from diffbio_flows.reports.sex import ObservedSex
from diffbio_flows.shards.message import ShardResult

_PURINES = frozenset("AG")


@dataclass(frozen=True)
class VariantCounts:
    """Counts over called records of one sample.

    Attributes:
        records: VCF records.
        passed: Records with FILTER ``PASS``.
        snps: Alternative alleles that replace one base.
        insertions: Alternative alleles longer than the reference's.
        deletions: Alternative alleles shorter than the reference's.
        others: Alternative alleles that replace several bases.
        multiallelic: Records with more than one alternative allele.
        transitions: SNPs between two purines or two pyrimidines.
        transversions: All other SNPs.
        heterozygous: Genotypes with two different alleles.
        homozygous: Genotypes with only one alternative allele, haploid ones included.
    """

    records: int = 0
    passed: int = 0
    snps: int = 0
    insertions: int = 0
    deletions: int = 0
    others: int = 0
    multiallelic: int = 0
    transitions: int = 0
    transversions: int = 0
    heterozygous: int = 0
    homozygous: int = 0

    @classmethod
    def sum(cls, parts: Iterable[Mapping[str, int]]) -> VariantCounts:
        """Adds up those of shards."""
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part)
        return cls(**counts)

    @property
    def ti_tv(self) -> float | None:
        """Transitions per transversion: about 2.0 to 2.1 over a human genome, 0.5 for random errors."""
        return self.transitions / self.transversions if self.transversions else None

    @property
    def het_hom(self) -> float | None:
        """Heterozygous calls per homozygous one: about 1.5 to 2 for a human."""
        return self.heterozygous / self.homozygous if self.homozygous else None


def count_variants(lines: Iterable[str]) -> VariantCounts:
    """Counts the records of a single-sample VCF's lines; header lines are passed over, and so are 0/0 genotypes."""
    counts: Counter[str] = Counter()
    for line in lines:
        if line.startswith("#"):
            continue
        columns = line.rstrip("\n").split("\t", 10)
        reference, alternatives = columns[3], columns[4].split(",")
        alleles = set(columns[9].split(":", 1)[0].replace("|", "/").split("/"))
        if not alleles - {"0", "."}:
            continue
        counts["records"] += 1
        counts["passed"] += columns[6] == "PASS"
        counts["multiallelic"] += len(alternatives) > 1
        counts["heterozygous" if len(alleles) > 1 else "homozygous"] += 1
        for alternative in alternatives:
            kind = _kind(reference, alternative)
            counts[kind] += 1
            if kind == "snps":
                same_ring = (reference in _PURINES) == (alternative in _PURINES)
                counts["transitions" if same_ring else "transversions"] += 1
    return VariantCounts(**counts)


def _kind(reference: str, alternative: str) -> str:
    if len(alternative) == len(reference):
        return "snps" if len(reference) == 1 else "others"
    return "insertions" if len(alternative) > len(reference) else "deletions"


@dataclass(frozen=True)
class ShardTotals:
    """Sums over finished shards.

    Attributes:
        shards: Number of them.
        core_bp: Reference positions processed (bp).
        counters: Counts by name.
        seconds: Time by stage, added over workers.
        peak_memory_mb: Highest resident memory of any worker (MB).
        depths: By contig, positions by the number of reads that cover them.
        distributions: How the records are spread.
    """

    shards: int = 0
    core_bp: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    depths: Mapping[str, Sequence[int]] = field(default_factory=dict)
    distributions: Distributions = field(default_factory=Distributions)

    @classmethod
    def of(cls, results: Iterable[ShardResult]) -> ShardTotals:
        """Adds up results, which may come lazily."""
        shards, core_bp, peak = 0, 0, 0.0
        counters: Counter[str] = Counter()
        seconds: Counter[str] = Counter()
        depths: dict[str, list[int]] = {}
        distributions = DistributionSum()
        for result in results:
            shards, core_bp, peak = shards + 1, core_bp + result.core_bp, max(peak, result.peak_memory_mb)
            counters.update(result.counters)
            for stage, time in result.seconds.items():
                seconds[stage] += time  # type: ignore[assignment]
            if any(result.depths):
                known = depths.setdefault(result.contig, [])
                known += [0] * (len(result.depths) - len(known))
                for depth, positions in enumerate(result.depths):
                    known[depth] += positions
            distributions.add(result.distributions)
        return cls(shards, core_bp, dict(counters), dict(seconds), peak, depths, distributions.total())

    def mean_depths(self) -> dict[str, float]:
        """Mean number of reads over a position, by contig, of those where any was looked at."""
        return {contig: mean_depth([depths]) for contig, depths in self.depths.items()}


@dataclass(frozen=True)
class WorkSummary:
    """What a run over shards took.

    Attributes:
        totals: Sums over shards, including those of an earlier, interrupted run.
        resumed_shards: Shards that an earlier run had finished.
        workers: Worker processes.
        wall_seconds: Time of this run by stage.
        peak_memory_mb: Highest resident memory of the process that led the run (MB).
    """

    totals: ShardTotals
    resumed_shards: int
    workers: int
    wall_seconds: Mapping[str, float]
    peak_memory_mb: float


@dataclass(frozen=True)
class CallSummary:
    """The outcome of a call run.

    Attributes:
        output: The VCF.
        gvcf: The gVCF, where one was asked for.
        store: The window store, where it was kept.
        report: This summary for people.
        sample: Name in the VCF.
        variants: What was called.
        work: What it took.
        made_of: What determines the records, as the header of the VCF has it.
        worked_off: How they were worked off: command, parameters, times, machine, versions.
        warnings: What is odd about the input.
        sex: What the depth of X and Y says, of a human reference.
        slippage: Shares of the reads that show homopolymers ``longer``, and ``shorter``, than they are.
    """

    output: str
    gvcf: str | None
    store: str | None
    report: str
    sample: str
    variants: VariantCounts
    work: WorkSummary
    made_of: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)
    worked_off: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sex: ObservedSex | None = None
    slippage: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_depth(self) -> float:
        """Mean number of reads over a position, of autosomes where the reference is a human one."""
        depths = self.work.totals.depths
        chosen = self.sex.autosomes if self.sex is not None else ()
        return mean_depth([depths[contig] for contig in chosen or depths if contig in depths])

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> CallSummary:
        """Made again of what `to_json` gave.

        Raises:
            TypeError: Entries are missing, as for `KeyError`.
        """
        work = entries["work"]
        totals = _known(ShardTotals, work["totals"])
        totals["distributions"] = Distributions.from_json(totals.get("distributions", {}))
        sex = entries.get("sex")
        more = {
            "variants": VariantCounts(**_known(VariantCounts, entries["variants"])),
            "work": WorkSummary(**{**_known(WorkSummary, work), "totals": ShardTotals(**totals)}),
            "warnings": tuple(entries.get("warnings", ())),
            "sex": None if sex is None else ObservedSex(**_known(ObservedSex, sex)),
        }
        return cls(**_known(cls, entries) | more)

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        ratios = {"ti_tv": self.variants.ti_tv, "het_hom": self.variants.het_hom}
        return asdict(self) | {"variants": asdict(self.variants) | ratios, "mean_depth": round(self.mean_depth, 2)}


def _known(kind: type, entries: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataclass takes of entries that may hold more."""
    return {name: entries[name] for name in (one.name for one in fields(kind)) if name in entries}


def mean_depth(depths: Iterable[Sequence[int]]) -> float:
    """Mean depth of positions that are counted by depth, 0 where there are none."""
    bases = positions = 0
    for counts in depths:
        bases += sum(depth * count for depth, count in enumerate(counts))
        positions += sum(counts)
    return bases / positions if positions else 0.0
