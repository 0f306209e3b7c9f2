"""A cohort before it is called: its sheet, and everything that can be known to be wrong with any of its samples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diffbio_cluster import ClusterConfig
from diffbio_core.calling.copy_numbers import Sex
from diffbio_core.models import default_model_path
from diffbio_core.problems import InputError, Problem
from diffbio_flows.runs.call import CallRun
from diffbio_flows.runs.names import fill_name
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.places import check_outputs
from diffbio_flows.runs.plan import call_identity
from diffbio_flows.runs.work_directory import WorkDirectory
from diffbio_io.sample_sheet import SheetRow, path_in_sheet, read_sample_sheet

REQUIRED, OPTIONAL = ("sample", "reads", "output"), ("sex", "model")

_SEXES = {"m": "male", "f": "female", "xy": "male", "xx": "female", "1": "male", "2": "female"}
"""Other ways to write a sex, the last two those of PED files."""

_UNKNOWN = ("", "0", "u", "na", "n/a", "unknown", "other", ".", "-")


class CohortParameters(BaseModel):
    """Samples of a sheet, each called as `CallParameters` says, on shared workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sheet: Path = Field(
        description="CSV with a line per sample; columns sample, reads, output, and sex and model if wanted"
    )
    reference: Path = Field(description="FASTA that all reads were aligned to, plain or bgzipped")
    region: tuple[str, ...] = Field(default=(), description="Regions such as chr20:1-2,000 (1-based); all if empty")
    regions: Path | None = Field(default=None, description="BED file of regions, besides those above")
    gvcf: bool = Field(default=False, description="Write a gVCF of each sample, too: O.g.vcf.gz beside O.vcf.gz")
    joint: Path | None = Field(default=None, description="VCF of all samples to write, too; implies gVCFs")
    keep_windows: bool = Field(default=False, description="Keep the decoded windows (Zarr) in the work directories")
    workers: int | None = Field(default=None, ge=1, description="Worker processes here; one per core if not given")
    scheduler: str | None = Field(default=None, description="Address of a running Dask scheduler to use instead")
    cluster: Path | None = Field(default=None, description="TOML file that describes a cluster")
    only_failed: bool = Field(default=False, description="Leave samples alone that are done")
    force: bool = Field(default=False, description="Overwrite outputs")
    names: Mapping[str, str] = Field(default={}, description="What {date} and {run} in the names of outputs stand for")

    def sample(self, row: SheetRow) -> CallParameters:
        """The call of one sample of the sheet.

        Raises:
            ValidationError: A value cannot be.
            InputError: The output's name is a template that cannot be filled in.
        """
        output = self.output(row)
        shared = ("reference", "region", "regions", "keep_windows", "workers", "scheduler", "cluster", "force")
        gvcf = output.with_name(output.name.removesuffix(".vcf.gz") + ".g.vcf.gz")
        model = row.values["model"]
        return CallParameters(
            reads=path_in_sheet(row.values["reads"], self.sheet),
            output=output,
            sample=row.values["sample"],
            sex=sex_of(row.values["sex"]),
            model=path_in_sheet(model, self.sheet) if model else None,
            gvcf=gvcf if self.gvcf or self.joint is not None else None,
            **{name: getattr(self, name) for name in shared},
        )

    def output(self, row: SheetRow) -> Path:
        """The VCF of a sample; where a run has names, the last part of what the sheet says is a template of them.

        Raises:
            InputError: It cannot be filled in.
        """
        output = path_in_sheet(row.values["output"], self.sheet)
        if not self.names:
            return output
        return output.with_name(fill_name(output.name, {"sample": row.values["sample"], **self.names}))

    def cluster_config(self) -> ClusterConfig:
        """See `RunParameters.cluster_config`."""
        paths = {"reads": self.sheet, "reference": self.reference, "output": self.sheet}
        fields = {name: getattr(self, name) for name in ("workers", "scheduler", "cluster")}
        return CallParameters(**paths, **fields).cluster_config()


@dataclass
class CohortSample:
    """One sample of a sheet.

    Attributes:
        row: Its line.
        parameters: Its call.
        run: The call, whose input has been checked; None where it is done already, or cannot start.
        problems: Why it cannot start.
        summary: Of an earlier run that has called it; None where none has.
    """

    row: SheetRow
    parameters: CallParameters
    run: CallRun | None = None
    problems: list[Problem] = field(default_factory=list)
    summary: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Name of the sample."""
        return self.row.values["sample"]


def sex_of(text: str) -> Sex:
    """The sex that a cell of a sheet tells.

    Raises:
        ValueError: It tells none.
    """
    word = text.strip().lower()
    if word in _UNKNOWN:
        return "unknown"
    word = _SEXES.get(word, word)
    if word not in get_args(Sex):
        raise ValueError(f"its sex, {text!r}, is none of male, female and unknown")
    return word  # type: ignore[return-value]


def plan_cohort(parameters: CohortParameters) -> list[CohortSample]:
    """Looks at the sheet and at the input of each sample that is to be called; writes nothing.

    What is wrong with one sample is kept with it, so that the others can be called.

    Raises:
        InputError: The sheet is faulty, what all samples share is, or no sample can be called.
    """
    rows = read_sample_sheet(parameters.sheet, REQUIRED, OPTIONAL)
    samples, problems = _parsed(parameters, rows)
    problems += _clashes(parameters.sheet, samples)
    if parameters.joint is not None:
        taken = [path for sample in samples for path in _files(sample)]
        force = parameters.force or parameters.only_failed
        problems += check_outputs([parameters.joint], [parameters.reference, *taken], force=force)
    if problems:
        raise InputError(problems)
    for sample in samples:
        sample.summary = _finished(sample.parameters)
    done = [sample for sample in samples if sample.summary is not None]
    if done and not (parameters.only_failed or parameters.force):
        what = f"{len(done)} of its {len(samples)} samples are done already"
        raise InputError(
            [Problem(str(parameters.sheet), what, "Call the others with --only-failed, or all again with --force.")]
        )
    for sample in samples:
        if sample.summary is not None and parameters.only_failed:
            continue
        sample.summary = None
        sample.run = CallRun(sample.parameters, anew=parameters.only_failed)
        try:
            sample.run.time(sample.run.steps[0])
        except InputError as error:
            sample.run, sample.problems = None, list(error.problems)
    _raise_shared(samples, parameters.sheet)
    return samples


def _parsed(parameters: CohortParameters, rows: Iterable[SheetRow]) -> tuple[list[CohortSample], list[Problem]]:
    samples, problems = [], []
    for row in rows:
        subject = f"{parameters.sheet}, line {row.line}"
        try:
            samples.append(CohortSample(row, parameters.sample(row)))
        except ValidationError as error:
            for entry in error.errors():
                what = f"{entry['loc'][0] if entry['loc'] else 'it'}: {entry['msg'].removeprefix('Value error, ')}"
                problems.append(Problem(subject, what, "Mend that cell."))
        except InputError as error:
            problems += [Problem(subject, problem.what, problem.remedy) for problem in error.problems]
        except ValueError as error:
            problems.append(Problem(subject, str(error), "Write male or female, or nothing."))
    return samples, problems


def _clashes(sheet: Path, samples: list[CohortSample]) -> list[Problem]:
    """Names of samples, and files to write, that two lines share."""
    problems = []
    names = Counter(sample.name for sample in samples)
    outputs = Counter(path.resolve() for sample in samples for path in sample.parameters.outputs)
    for sample in samples:
        subject = f"{sheet}, line {sample.row.line}"
        if names[sample.name] > 1:
            problems.append(Problem(subject, f"names sample {sample.name!r}, as another line does", "Rename one."))
        twice = [path for path in sample.parameters.outputs if outputs[path.resolve()] > 1]
        if twice:
            problems.append(Problem(subject, f"writes {twice[0]}, as another line does", "Name another output."))
    return problems


def _files(sample: CohortSample) -> tuple[Path, ...]:
    return (*sample.parameters.files, *sample.parameters.outputs)


def _finished(parameters: CallParameters) -> dict[str, Any] | None:
    """The summary of a run that has called a sample, of these very inputs and outputs."""
    work = WorkDirectory(parameters.work_path)
    if not all(path.is_file() for path in parameters.outputs):
        return None
    try:
        identity = call_identity(parameters, parameters.model or default_model_path())
        if work.problems(identity):
            return None
        return json.loads(work.summary.read_bytes())
    except (OSError, ValueError):
        return None


def _raise_shared(samples: list[CohortSample], sheet: Path) -> None:
    """Ends with what is wrong with every sample alike, or with all problems where none of the samples can be called.

    Raises:
        InputError: See above.
    """
    asked = [sample for sample in samples if sample.summary is None]
    if not asked:
        return
    counts = Counter(problem for sample in asked for problem in set(sample.problems))
    shared = [problem for problem, number in counts.items() if number == len(asked)]
    if len(asked) > 1 and shared:
        raise InputError(shared)
    if all(sample.run is None for sample in asked):
        raise InputError([in_sheet(problem, sample, sheet) for sample in asked for problem in sample.problems])


def in_sheet(problem: Problem, sample: CohortSample, sheet: Path) -> Problem:
    """A sample's problem with the line of the sheet that it comes from."""
    return Problem(f"{sheet}, line {sample.row.line}, {problem.subject}", problem.what, problem.remedy)
