"""What a cohort run did, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["done", "done before", "failed"]

COLUMNS = ("sample", "state", "records", "Ti/Tv", "het/hom", "depth", "sex", "X", "Y", "")


@dataclass(frozen=True)
class SampleOutcome:
    """What became of one sample.

    Attributes:
        sample: Its name.
        line: Of the sheet.
        state: ``done``, ``done before`` (by an earlier run), or ``failed``.
        output: Its VCF.
        sex: As the sheet has it; ``unknown`` where it says nothing.
        problems: Why it failed.
        summary: `CallSummary.to_json` of its run; None where it failed.
    """

    sample: str
    line: int
    state: State
    output: str
    sex: str
    problems: tuple[str, ...] = ()
    summary: Mapping[str, Any] | None = None

    @property
    def doubt(self) -> str:
        """What speaks against the sheet's sex; empty where nothing does."""
        seen = (self._seen or {}).get("sex", self.sex)
        if self.sex == "unknown" or seen == self.sex:
            return ""
        return f"X and Y look {seen}" if seen != "unclear" else "X and Y fit neither sex"

    @property
    def _seen(self) -> Mapping[str, Any] | None:
        return None if self.summary is None else self.summary.get("sex")

    def cells(self) -> tuple[str, ...]:
        """Its line of the table."""
        if self.summary is None:
            return (self.sample, self.state, *("-",) * 4, self.sex, "-", "-", "")
        variants, seen = self.summary["variants"], self._seen or {}
        ratios = (variants["ti_tv"], variants["het_hom"], self.summary["mean_depth"])
        return (
            self.sample,
            self.state,
            f"{variants['records']:,}",
            *map(_number, ratios),
            self.sex,
            *(_number(seen.get(name)) for name in ("x", "y")),
            self.doubt,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        seen, summary = self._seen or {}, self.summary or {}
        variants = summary.get("variants", {})
        return {
            "sample": self.sample,
            "line": self.line,
            "state": self.state,
            "output": self.output,
            "problems": list(self.problems),
            **{name: variants.get(name) for name in ("records", "passed", "ti_tv", "het_hom")},
            "mean_depth": summary.get("mean_depth"),
            "sex": self.sex,
            "observed_sex": seen.get("sex"),
            "depth_of_x": seen.get("x"),
            "depth_of_y": seen.get("y"),
            "report": summary.get("report"),
        }


@dataclass(frozen=True)
class CohortSummary:
    """The outcome of a cohort run.

    Attributes:
        samples: What became of each, in the order of the sheet.
        joint: VCF of all samples, where one was asked for and all of them are done.
        seconds: Time of the run.
        warnings: What is odd, but stopped nothing.
    """

    samples: tuple[SampleOutcome, ...]
    joint: str | None
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[SampleOutcome, ...]:
        """Samples that failed."""
        return tuple(outcome for outcome in self.samples if outcome.state == "failed")

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        return asdict(self) | {"samples": [outcome.to_json() for outcome in self.samples]}

    def to_text(self) -> str:
        """A table with a line per sample, and below it why some failed."""
        table = [list(COLUMNS), *(list(outcome.cells()) for outcome in self.samples)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
                for cell, width, column in zip(cells, widths, COLUMNS, strict=True)
            ).rstrip()
            for cells in table
        ]
        told = [f"{outcome.sample}: {problem}" for outcome in self.failed for problem in outcome.problems]
        if self.joint is not None:
            told.append(f"all samples in one VCF: {self.joint}")
        return "\n".join([*lines, *([""] if told else []), *told])


_NUMBERS = ("records", "Ti/Tv", "het/hom", "depth", "X", "Y")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
