"""Plots of a differential expression: changes over means, dispersions over means, p-values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffbio_core.operators.statistical.differential_expression import DifferentialExpression
from diffbio_core.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREY, _BLUE, _RED, _BLACK = "#9aa0a6", "#1f77b4", "#c5221f", "#202124"


def write_plots(result: DifferentialExpression, paths: Mapping[str, Path]) -> None:
    """Draw plots as PNG.

    Args:
        result: Tested genes.
        paths: Files by plot: "ma", "dispersion" or "p_values".

    Raises:
        OSError: A file cannot be written.
    """
    from matplotlib.figure import Figure

    draw = {"ma": _draw_changes, "dispersion": _draw_dispersions, "p_values": _draw_p_values}
    for name, path in paths.items():
        figure = Figure(figsize=(6, 4.5), layout="constrained")
        draw[name](figure.add_subplot(), result)
        with whole_file(path) as aside:
            figure.savefig(aside, dpi=150, format="png")


def _draw_changes(axes: Axes, result: DifferentialExpression) -> None:
    """MA plot: log2 fold change over mean."""
    mean, change = result["base_mean"], result["log_fold_change"]
    seen = (mean > 0) & np.isfinite(change)
    significant = seen & (result["padj"] < result.alpha)
    axes.scatter(mean[seen & ~significant], change[seen & ~significant], s=4, c=_GREY, linewidths=0, label="other")
    label = f"padj < {result.alpha:g} ({significant.sum()})"
    axes.scatter(mean[significant], change[significant], s=5, c=_BLUE, linewidths=0, label=label)
    axes.axhline(0, color=_BLACK, linewidth=0.8)
    axes.set(xscale="log", xlabel="mean of normalised counts", ylabel="log2 fold change", title=result.contrast.name)
    axes.legend(frameon=False, markerscale=2, loc="upper right")


def _draw_dispersions(axes: Axes, result: DifferentialExpression) -> None:
    """Gene-wise and final dispersions and their trend."""
    mean = result["base_mean"]
    seen = (mean > 0) & np.isfinite(result["dispersion"])
    axes.scatter(
        mean[seen], result["dispersion_genewise"][seen], s=3, c=_BLACK, linewidths=0, alpha=0.5, label="gene-wise"
    )
    axes.scatter(mean[seen], result["dispersion"][seen], s=3, c=_BLUE, linewidths=0, alpha=0.6, label="final")
    order = np.argsort(mean[seen])
    trend = result.model.prior.trend
    axes.plot(mean[seen][order], result["dispersion_trend"][seen][order], c=_RED, label=f"trend ({trend.kind})")
    axes.set(xscale="log", yscale="log", xlabel="mean of normalised counts", ylabel="dispersion", title="dispersions")
    axes.legend(frameon=False, markerscale=2, loc="upper right")


def _draw_p_values(axes: Axes, result: DifferentialExpression) -> None:
    """Histogram of p-values: flat where nothing changes, with a peak at 0 where something does."""
    kept = np.isfinite(result["padj"])
    left = np.isfinite(result.p_values) & ~kept
    axes.hist(
        [result.p_values[kept], result.p_values[left]],
        bins=[step / 40 for step in range(41)],
        stacked=True,
        color=[_BLUE, _GREY],
        label=["tested", "filtered: low mean"],
    )
    axes.set(xlabel="p-value", ylabel="genes", title=f"{result.test} test, {result.contrast.name}")
    axes.legend(frameon=False, loc="upper right")
