"""The forms of Prefect's page: groups of fields with descriptions, limits and choices, and what they make of a run.

A form cannot show "not given", so an empty text or 0 says that. Annotations are not postponed: Prefect reads them.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from diffbio_core.problems import InputError, Problem
from diffbio_flows.prefect_flows.limits import LOCAL, DeploymentLimits, cluster_choices
from diffbio_flows.runs.names import fill_name
from diffbio_flows.runs.parameters import CallParameters, IngestParameters
from diffbio_flows.training.parameters import TrainParameters
from diffbio_flows.training.recipe import files_of

_PATH = r"^(/.*)?$"
Text = Annotated[str, Field(max_length=4096)]
WholePath = Annotated[str, Field(max_length=4096, pattern=_PATH)]
"""Empty, or from / on."""


class Group(BaseModel):
    """A group of fields; one that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ReadsGroup(Group):
    """Aligned reads of one sample, and what they were aligned to."""

    reads: Annotated[str, Field(min_length=1, max_length=4096, pattern=_PATH)] = Field(
        title="Reads", description="Whole path of a sorted, indexed BAM or CRAM"
    )
    reference: Annotated[str, Field(min_length=1, max_length=4096, pattern=_PATH)] = Field(
        title="Reference", description="Whole path of the FASTA that the reads were aligned to, plain or bgzipped"
    )
    sample: Text = Field(default="", title="Sample", description="Needed only where the reads name several or none")


class CallInputGroup(Group):
    """Reads and their reference, or a window store that was made of them."""

    reads: WholePath = Field(default="", title="Reads", description="Whole path of a sorted, indexed BAM or CRAM")
    reference: WholePath = Field(
        default="", title="Reference", description="Whole path of the FASTA that the reads were aligned to"
    )
    windows: Text = Field(
        default="", title="Window store", description="Instead of reads and reference: whole path or URL of a store"
    )
    sample: Text = Field(default="", title="Sample", description="Needed only where the reads name several or none")


class RegionGroup(Group):
    """The part of the genome; all of it if nothing is given."""

    region: list[Text] = Field(
        default=[], max_length=10_000, title="Regions", description="Such as chr20 or chr20:1-2,000, counted from 1"
    )
    bed: WholePath = Field(default="", title="BED file", description="Whole path of a BED file of more regions")


class CallOutputGroup(Group):
    """What is written, and where."""

    folder: Annotated[str, Field(min_length=1, max_length=4096, pattern=_PATH)] = Field(
        title="Folder", description="Whole path of the folder for the calls"
    )
    name: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="{sample}.{date}.vcf.gz",
        title="Name of the VCF",
        description="{sample}, {date} (day that the run was scheduled for, UTC) and {run} (its name) are filled in",
    )
    gvcf: bool = Field(default=False, title="gVCF", description="Write a gVCF beside the VCF, for joint genotyping")
    keep_windows: bool = Field(default=False, title="Keep windows", description="Keep the decoded reads, to call again")
    replace: bool = Field(default=False, title="Replace", description="Replace an output that exists, where allowed")


class ModelGroup(Group):
    """How it is called."""

    model: WholePath = Field(default="", title="Model", description="Whole path of a model; the shipped one if empty")
    haploid_contigs: list[Text] = Field(
        default=[], max_length=10_000, title="Haploid contigs", description="With one copy, such as chrX of a male"
    )


class SetsGroup(Group):
    """What to train on."""

    sets: Annotated[str, Field(min_length=1, max_length=4096, pattern=_PATH)] = Field(
        title="Sets", description="Whole path of a TOML file of training sets, or of a recipe that makes them"
    )


class TrainOutputGroup(Group):
    """The model that is written, and where."""

    folder: Annotated[str, Field(min_length=1, max_length=4096, pattern=_PATH)] = Field(
        title="Folder", description="Whole path of the folder for models"
    )
    name: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="model.{date}",
        title="Name of the model",
        description="{date} (day that the run was scheduled for, UTC) and {run} (its name) are filled in",
    )
    replace: bool = Field(default=False, title="Replace", description="Replace a model that exists, where allowed")


class TrainingGroup(Group):
    """How long, and from what."""

    init: WholePath = Field(
        default="", title="Model to go on from", description="Whole path of a model; a fresh network if empty"
    )
    epochs: int = Field(default=8, ge=1, le=100_000, title="Epochs", description="Times that every set is shown")
    max_steps: int = Field(
        default=0, ge=0, le=10**9, title="Steps", description="Steps after which to end; all epochs if 0"
    )
    patience: int = Field(
        default=8,
        ge=1,
        le=100_000,
        title="Patience",
        description="Epochs without a better validation F1 after which to stop",
    )
    seed: int = Field(default=0, ge=0, le=2**31, title="Seed", description="Of initialisation, order and augmentation")
    collective: bool = Field(
        default=False,
        title="One program",
        description="A process per worker, which add gradients up among themselves; else the run does",
    )


class MachineGroup(Group):
    """Where the run works, and for how long at most."""

    cluster: str = Field(
        default=LOCAL,
        title="Cluster",
        description="One that the worker knows; local is the cores of its machine",
        json_schema_extra=cluster_choices,
    )
    workers: int = Field(default=0, ge=0, le=4096, title="Workers", description="Processes; as many as fit if 0")
    hours: float = Field(
        default=24.0,
        gt=0,
        le=8784,
        title="Time limit",
        description="Hours after which the run is stopped; it goes on where it stood when it is retried",
    )

    def fields(self, limits: DeploymentLimits) -> dict[str, object]:
        """The fields of `RunParameters` that say where a run works.

        Raises:
            InputError: It is not allowed.
        """
        cluster = limits.cluster_file(self.cluster)
        if self.workers > limits.most_workers:
            what = f"{self.workers} are asked for, and {limits.most_workers} allowed"
            raise InputError([Problem("workers", what, "Ask for fewer.")])
        if self.hours > limits.most_hours:
            what = f"{self.hours:g} hours are asked for, and {limits.most_hours:g} allowed"
            raise InputError([Problem("hours", what, "Ask for less.")])
        return {"cluster": cluster, "workers": self.workers or None}


class RunNames(Group):
    """What templates of names are filled with, besides the sample.

    Attributes:
        run: Name of the flow run.
        scheduled: When it was to start, so that a retry has the same names.
    """

    run: str
    scheduled: datetime

    def fill(self, template: str, sample: str) -> str:
        """See `fill_name`."""
        return fill_name(template, {"sample": sample, **self.values()})

    def values(self) -> dict[str, str]:
        """What stands for the fields of a template, the sample left out."""
        return {"date": self.scheduled.astimezone(UTC).strftime("%Y-%m-%d"), "run": self.run}


def call_parameters(
    given: CallInputGroup,
    region: RegionGroup,
    output: CallOutputGroup,
    model: ModelGroup,
    machine: MachineGroup,
    names: RunNames,
    limits: DeploymentLimits,
) -> CallParameters:
    """The run that a form asks for; makes the folder of its output.

    Raises:
        InputError: The form asks for what is not allowed or cannot be.
    """
    paths = {"reads": given.reads, "reference": given.reference, "folder": output.folder}
    problems = limits.path_problems(paths | {"BED file": region.bed, "model": model.model})
    problems += limits.store_problems("window store", given.windows) if given.windows else []
    problems += _replaces(output.replace, limits)
    if not given.windows and not (given.reads and given.reference):
        problems.append(Problem("reads", "no reads with their reference, and no window store", "Give either."))
    if given.windows and (given.reads or given.reference):
        problems.append(Problem("window store", "is given beside reads or a reference", "Give either."))
    if problems:
        raise InputError(problems)
    file = Path(output.folder) / names.fill(output.name, given.sample or _sample_of(given))
    fields = machine.fields(limits)
    gvcf = file.with_name(f"{file.name.removesuffix('.vcf.gz')}.g.vcf.gz") if output.gvcf else None
    parameters = CallParameters(
        reads=Path(given.reads) if given.reads else None,
        reference=Path(given.reference) if given.reference else None,
        windows=given.windows or None,
        region=tuple(region.region),
        regions=Path(region.bed) if region.bed else None,
        sample=given.sample or None,
        output=file,
        gvcf=gvcf,
        keep_windows=output.keep_windows,
        force=output.replace,
        model=Path(model.model) if model.model else None,
        haploid_contigs=tuple(model.haploid_contigs),
        **fields,  # type: ignore[arg-type]
    )
    # A link that lies there already could lead out of the roots.
    problems = limits.path_problems({"VCF": file, "gVCF": gvcf, "work directory": parameters.work_path})
    if problems:
        raise InputError(problems)
    _make_folder(file.parent)
    return parameters


def ingest_parameters(
    given: ReadsGroup,
    region: RegionGroup,
    store: str,
    replace: bool,
    machine: MachineGroup,
    limits: DeploymentLimits,
    names: RunNames,
) -> IngestParameters:
    """The run that a form asks for; makes the folder above its store.

    Raises:
        InputError: The form asks for what is not allowed or cannot be.
    """
    problems = limits.path_problems({"reads": given.reads, "reference": given.reference, "BED file": region.bed})
    problems += _replaces(replace, limits)
    if problems:
        raise InputError(problems)
    folder, slash, name = store.rpartition("/")
    filled = f"{folder}{slash}{names.fill(name, given.sample or _sample_in(given.reads))}"
    problems = limits.store_problems("window store", filled)
    if problems:
        raise InputError(problems)
    if "://" not in filled:
        _make_folder(Path(filled).parent)
    return IngestParameters(
        reads=Path(given.reads),
        reference=Path(given.reference),
        region=tuple(region.region),
        regions=Path(region.bed) if region.bed else None,
        sample=given.sample or None,
        store=filled,
        force=replace,
        **machine.fields(limits),  # type: ignore[arg-type]
    )


def train_parameters(
    given: SetsGroup,
    output: TrainOutputGroup,
    training: TrainingGroup,
    machine: MachineGroup,
    names: RunNames,
    limits: DeploymentLimits,
) -> TrainParameters:
    """The training that a form asks for; makes the folder of its model.

    Raises:
        InputError: The form asks for what is not allowed or cannot be, or the file of sets does.
    """
    problems = limits.path_problems({"sets": given.sets, "folder": output.folder, "model": training.init})
    problems += _replaces(output.replace, limits)
    if problems:
        raise InputError(problems)
    # What a file of sets names is reached by whoever may write such a file, and so must lie in the roots, too.
    files, stores = files_of(given.sets)
    problems = limits.path_problems({f"sets, {name}": file for name, file in files.items()})
    for name, store in stores.items():
        problems += limits.store_problems(f"sets, {name}", store)
    folder = Path(output.folder) / fill_name(output.name, names.values())
    parameters = TrainParameters(
        sets=Path(given.sets),
        output=folder,
        init=Path(training.init) if training.init else None,
        epochs=training.epochs,
        max_steps=training.max_steps or None,
        patience=training.patience,
        seed=training.seed,
        collective=training.collective,
        force=output.replace,
        **machine.fields(limits),  # type: ignore[arg-type]
    )
    problems += limits.path_problems({"model": folder, "work directory": parameters.work_path})
    if problems:
        raise InputError(problems)
    _make_folder(folder.parent)
    return parameters


def _replaces(replace: bool, limits: DeploymentLimits) -> list[Problem]:
    if not replace or limits.may_replace:
        return []
    return [Problem("replace", "this worker does not let runs replace what is there", "Choose another name.")]


def _sample_of(given: CallInputGroup) -> str:
    """The sample of a name's template where the form does not say it."""
    if not given.windows:
        return _sample_in(given.reads)
    from diffbio_flows.runs.windows import StoredWindows
    from diffbio_io.store.store import StoreError

    try:
        return StoredWindows.of(given.windows).sample
    except (StoreError, ValueError, OSError, ImportError) as error:
        what = f"{given.windows} cannot be opened: {' '.join(str(error).split())}"
        raise InputError([Problem("window store", what, "Give a store that is whole.")]) from error


def _sample_in(reads: str) -> str:
    from diffbio_io.alignments.header import read_header

    samples = read_header(Path(reads)).samples
    if len(samples) != 1:
        what = f"{reads} names {len(samples)} samples"
        raise InputError([Problem("sample", what, "Give the sample.")])
    return samples[0]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"{folder} cannot be made ({error.strerror})"
        raise InputError([Problem("folder", what, "Name a place that the worker may write to.")]) from error
