"""The table of an evaluation: every metric with its number of defined values, and baselines beside it."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from diffbio_core.evaluation.perturbation.metrics import METRICS, OVERALL, Measured


@dataclass(frozen=True)
class MetricRow:
    """One metric.

    Attributes:
        metric: Its name.
        value: Mean over the perturbations for which it is defined; NaN if it is for none.
        defined: For how many it is.
        of: Number of perturbations.
        best: Its best value, or None.
        baselines: The same of each baseline: its mean, over how many.
        scores: For each baseline, what part of the way from it to the best value was gone, over the perturbations for
            which both are defined: (value - baseline) / (1 - baseline), or 1 - value / baseline for errors; 0 at least.
    """

    metric: str
    value: float
    defined: int
    of: int
    best: int | None
    baselines: dict[str, tuple[float, int]]
    scores: dict[str, float]


@dataclass(frozen=True)
class PerturbationScores:
    """Metrics of a prediction and of baselines.

    Attributes:
        perturbations: Names, in the order of the values.
        cells: Numbers of measured and of predicted cells of each.
        controls: "true" or "predicted": what predicted cells were compared with.
        predicted: Metrics of the prediction.
        baselines: Metrics of each baseline; NaN for perturbations that it says nothing of.
    """

    perturbations: tuple[str, ...]
    cells: tuple[tuple[int, int], ...]
    controls: str
    predicted: Measured
    baselines: dict[str, Measured]

    @property
    def rows(self) -> tuple[MetricRow, ...]:
        """One row per metric, in the order of `METRICS`."""
        return tuple(
            self._row(metric) for metric in METRICS if metric in {**self.predicted.values, **self.predicted.overall}
        )

    def __getitem__(self, metric: str) -> float:
        """Mean of a metric over the perturbations for which it is defined."""
        return self._row(metric).value

    def to_csv(self) -> str:
        """Values by perturbation as CSV, an undefined one empty, and those of baselines in columns of their own."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        sides = {"": self.predicted, **{f"{name}:": found for name, found in self.baselines.items()}}
        metrics = [metric for metric in METRICS if metric in self.predicted.values]
        columns = [(prefix + metric, found.values[metric]) for prefix, found in sides.items() for metric in metrics]
        writer.writerow(["perturbation", "real_cells", "predicted_cells", *(name for name, _ in columns)])
        for place, name in enumerate(self.perturbations):
            values = ("" if math.isnan(column[place]) else repr(float(column[place])) for _, column in columns)
            writer.writerow([name, *self.cells[place], *values])
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """The table and the values by perturbation; undefined values are None."""
        per_perturbation = {
            metric: dict(zip(self.perturbations, map(_defined, values), strict=True))
            for metric, values in self.predicted.values.items()
        }
        rows = []
        for row in self.rows:
            entry = asdict(row) | {"value": _defined(row.value)}
            entry["baselines"] = {
                name: {"value": _defined(value), "defined": defined} for name, (value, defined) in row.baselines.items()
            }
            entry["scores"] = {name: _defined(value) for name, value in row.scores.items()}
            rows.append(entry)
        return {"controls": self.controls, "metrics": rows, "perturbations": per_perturbation}

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        """The table in aligned columns."""
        names = list(self.baselines)
        header = ["metric", "value", "defined"]
        for name in names:
            header += [f"{name} baseline", "defined", "score"]
        lines = [header]
        for row in self.rows:
            line = [row.metric, _number(row.value), f"{row.defined} of {row.of}"]
            for name in names:
                value, defined = row.baselines[name]
                line += [_number(value), str(defined), _number(row.scores.get(name, math.nan))]
            lines.append(line)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def _row(self, metric: str) -> MetricRow:
        own, best = _values(self.predicted, metric), METRICS[metric]
        baselines, scores = {}, {}
        for name, measured in self.baselines.items():
            other = _values(measured, metric)
            baselines[name] = (_mean(other), int(np.count_nonzero(~np.isnan(other))))
            both = ~np.isnan(own) & ~np.isnan(other)
            if best is not None:
                scores[name] = normalised(_mean(own[both]), _mean(other[both]), best)
        of = 1 if metric in OVERALL else len(self.perturbations)
        return MetricRow(metric, _mean(own), int(np.count_nonzero(~np.isnan(own))), of, best, baselines, scores)


def normalised(value: float, baseline: float, best: int) -> float:
    """Part of the way from a baseline to the best value, 0 at least; NaN where the baseline is the best already."""
    if math.isnan(value) or math.isnan(baseline) or baseline == best:
        return math.nan
    return max(0.0, (value - baseline) / (1 - baseline) if best == 1 else 1 - value / baseline)


def _values(measured: Measured, metric: str) -> Float[np.ndarray, "n"]:
    return np.array([measured.overall.get(metric, math.nan)]) if metric in OVERALL else measured.values[metric]


def _mean(values: Float[np.ndarray, "n"]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}" if abs(value) < 1e-3 else f"{value:.5g}"
