"""What a run is asked for: the fields of the command line, of the web page's form and of the Python call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from diffbio_cluster import ClusterConfig
from diffbio_core.calling.copy_numbers import Sex
from diffbio_core.windows.grid import WindowGrid

SHARD_BP = 262_144
HALO = 256
DEFAULT_WINDOW_LENGTH = 4096


def _power_of_two(length: int) -> int:
    if length & (length - 1):
        raise ValueError(f"must be a power of two, got {length}")
    return length


def _sample_name(name: str | None) -> str | None:
    # It becomes the name of a column, between tabs.
    if name is not None and (not name.strip() or not name.isprintable()):
        raise ValueError(f"must be a name of printable characters, got {name!r}")
    return name


WindowLength = Annotated[
    int,
    Field(ge=512, le=65_536, description="Core positions of a window (bp), a power of two; calls do not depend on it"),
    AfterValidator(_power_of_two),
]


class RunParameters(BaseModel):
    """Reads, reference, the part of the genome to work on, and where the work runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads: Path = Field(description="Aligned reads of one sample: sorted, indexed BAM or CRAM")
    reference: Path = Field(description="FASTA that the reads were aligned to, plain or bgzipped")
    region: tuple[str, ...] = Field(default=(), description="Regions such as chr20:1-2,000 (1-based); all if empty")
    regions: Path | None = Field(default=None, description="BED file of regions, besides those above")
    sample: Annotated[str | None, AfterValidator(_sample_name)] = Field(
        default=None, description="Sample; needed only where the file names several or none"
    )
    window_length: WindowLength = DEFAULT_WINDOW_LENGTH
    workers: int | None = Field(default=None, ge=1, description="Worker processes here; one per core if not given")
    scheduler: str | None = Field(default=None, description="Address of a running Dask scheduler to use instead")
    cluster: Path | None = Field(default=None, description="TOML file that describes a cluster")
    force: bool = Field(default=False, description="Replace what is there")

    @property
    def grid(self) -> WindowGrid:
        """Windows and shards; a shard has the same length whatever a window's is."""
        return WindowGrid(self.window_length, HALO, SHARD_BP // self.window_length)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files to write: VCF, gVCF."""
        return ()

    @property
    def folder(self) -> Path | None:
        """Where the run keeps its state; None where all goes to a remote store."""
        return None

    @property
    def haploid(self) -> tuple[str, ...]:
        """Contigs with one copy."""
        return ()

    @property
    def keeps_windows(self) -> bool:
        """Whether decoded windows stay."""
        return True

    def cluster_config(self) -> ClusterConfig:
        """The cluster that these fields describe.

        Raises:
            ClusterConfigError: The file is faulty, or two clusters are described.
        """
        return ClusterConfig.of(self.workers, self.scheduler, self.cluster)


class CallParameters(RunParameters):
    """One call run: reads and reference, or a window store that was made of them, to VCF."""

    reads: Path | None = Field(default=None, description="Aligned reads of one sample: sorted, indexed BAM or CRAM")
    reference: Path | None = Field(default=None, description="FASTA that the reads were aligned to, plain or bgzipped")
    windows: str | None = Field(
        default=None, description="Window store to call instead of reads and reference: a folder, or a URL"
    )
    output: Path = Field(description="VCF to write, ending in .vcf.gz; its index lies beside it")
    gvcf: Path | None = Field(default=None, description="gVCF to write too, ending in .g.vcf.gz")
    model: Path | None = Field(default=None, description="Model directory; the shipped model if not given")
    haploid_contigs: tuple[str, ...] = Field(default=(), description="Contigs with one copy, such as a male's chrX")
    sex: Sex | None = Field(
        default=None,
        description="Of a human sample: male, one X and Y outside their pseudo-autosomal regions; female, no Y; "
        "one copy of the mitochondria. Needs GRCh37 or GRCh38. All has two copies if not given",
    )
    work_dir: Path | None = Field(default=None, description="Folder for the run's state; OUTPUT.work if not given")
    keep_windows: bool = Field(default=True, description="Keep the decoded windows (Zarr) in the work directory")
    force: bool = Field(default=False, description="Overwrite the output")

    @model_validator(mode="after")
    def _one_source(self) -> CallParameters:
        if self.windows is None and (self.reads is None or self.reference is None):
            raise ValueError("--reads and --reference are needed, or --windows")
        if self.windows is not None and (self.reads is not None or self.reference is not None):
            raise ValueError("--windows goes with neither --reads nor --reference, since a store holds both")
        return self

    @property
    def whole_windows(self) -> str | None:
        """The window store by a path or URL that workers can use from anywhere on this machine."""
        return self.windows if self.windows is None or "://" in self.windows else str(Path(self.windows).resolve())

    @property
    def files(self) -> tuple[Path, Path]:
        """Reads and reference.

        Raises:
            ValueError: The run takes windows.
        """
        if self.reads is None or self.reference is None:
            raise ValueError("the run takes windows, not reads")
        return self.reads, self.reference

    @property
    def outputs(self) -> tuple[Path, ...]:
        """See `RunParameters`."""
        return (self.output,) if self.gvcf is None else (self.output, self.gvcf)

    @property
    def folder(self) -> Path:
        """See `RunParameters`."""
        return self.work_path

    @property
    def haploid(self) -> tuple[str, ...]:
        """See `RunParameters`."""
        return self.haploid_contigs

    @property
    def keeps_windows(self) -> bool:
        """See `RunParameters`; those of a store are there already."""
        return self.keep_windows and self.windows is None

    @property
    def work_path(self) -> Path:
        """The work directory, by default beside the output."""
        return self.work_dir or self.output.parent / (self.output.name + ".work")


class IngestParameters(RunParameters):
    """One ingest run: reads to a window store."""

    store: str = Field(
        min_length=1, description="Window store to fill: a folder, or a URL such as s3://bucket/windows.zarr"
    )
    force: bool = Field(default=False, description="Replace windows that were made from other reads")

    @property
    def local_store(self) -> Path | None:
        """The store's folder; None where it is not on a file system."""
        return None if "://" in self.store else Path(self.store)

    @property
    def folder(self) -> Path | None:
        """See `RunParameters`."""
        return self.local_store
