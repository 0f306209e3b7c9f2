"""What workers share is made before they need it: the reference's index, and the arrays that they fill side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffbio_cluster import TaskFailedError, describe
from diffbio_core import __version__
from diffbio_core.problems import Problem
from diffbio_flows.runs.work_directory import file_identity
from diffbio_io.regions import Intervals, merge_intervals

if TYPE_CHECKING:
    from diffbio_io.store.store import WindowStore


def index_reference(reference: Path, folder: Path) -> None:
    """Has the reference indexed once, before every worker would do it; in a folder where its own cannot be written.

    Raises:
        TaskFailedError: The folder cannot be written.
    """
    from diffbio_io.reference import Reference

    with writing(folder):
        Reference(reference, folder).close()


def lay_out_store(store: WindowStore, origin: StoreOrigin, folder: Path | None) -> None:
    """Lays out the contigs of a window store, which tells what it is made of.

    Args:
        store: The store.
        origin: What it is made of.
        folder: Where an index of the reference may have been made.

    Raises:
        TaskFailedError: The store cannot be written, or holds other contigs of these names.
    """
    from diffbio_io.fasta import md5_of_contigs
    from diffbio_io.reference import Reference
    from diffbio_io.store.store import StoreError

    try:
        with writing(store.url):
            new = store.contigs_to_add({contig: origin.contigs[contig] for contig in origin.intervals})
            with Reference(origin.reference, folder) as fasta:
                md5 = md5_of_contigs(fasta.indexed, new)
            about = {contig: {"sample": origin.sample, "md5": md5[contig]} for contig in new}
            store.create_contigs(new, origin.attributes(store.told()), about)
    except StoreError as error:
        raise TaskFailedError("the window store", str(error)) from error


@dataclass(frozen=True)
class StoreOrigin:
    """What a window store is made of.

    Attributes:
        sample: Whose reads.
        reads: BAM or CRAM file.
        reference: FASTA file.
        contigs: Length of every contig of the reference (bp), in its order.
        intervals: What of them the store shall hold.
        without_reads: Contigs of which the index knows that there are no reads.
        warnings: What is odd about the files.
    """

    sample: str
    reads: Path
    reference: Path
    contigs: Mapping[str, int]
    intervals: Mapping[str, Intervals]
    without_reads: tuple[str, ...]
    warnings: tuple[Problem, ...]

    def files(self) -> dict[str, Any]:
        """Identity of both files, as each shard's marker has it."""
        return {"reads": file_identity(self.reads), "reference": file_identity(self.reference)}

    def attributes(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """What the store's root tells; calling needs neither file again.

        Args:
            before: What it tells already; None where there is no store.
        """
        files = self.files()
        intervals, without_reads = dict(self.intervals), set(self.without_reads)
        if before and all(before.get(name) == files[name] for name in files):
            for contig, spans in before.get("intervals", {}).items():
                intervals[contig] = merge_intervals([*map(tuple, spans), *intervals.get(contig, ())])
            without_reads |= set(before.get("without_reads", ()))
        return {
            "sample": self.sample,
            **files,
            "contigs": dict(self.contigs),
            "intervals": {contig: intervals[contig] for contig in self.contigs if contig in intervals},
            "without_reads": sorted(without_reads),
            "warnings": [asdict(warning) for warning in self.warnings],
            "diffbio": __version__,
        }


@contextmanager
def writing(what: str | Path) -> Iterator[None]:
    """Names what could not be written where the system only says why."""
    try:
        yield
    except OSError as error:
        raise TaskFailedError(f"writing {what}", describe(error)) from error
