"""Plots of an analysis of cells: the loss of its training, and the view of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

_MOST_LEGEND = 20
"""Groups that a legend still tells apart."""


def draw_loss(losses: Sequence[float], path: Path) -> None:
    """Draw the mean loss of every epoch as PNG.

    Args:
        losses: One for each epoch.
        path: File to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(losses) + 1), losses, marker="." if len(losses) < 30 else None)
    axes.set(xlabel="epoch", ylabel="mean loss of a cell", title="Training of the autoencoder")
    figure.savefig(path, dpi=150)


def draw_view(
    view: Float[np.ndarray, "cells components"], groups: Mapping[str, Shaped[np.ndarray, "cells"]], path: Path
) -> None:
    """Draw cells in the first two dimensions of a view as PNG, once for each way of grouping them.

    Args:
        view: Where the cells lie.
        groups: Group of each cell, by the name of the grouping.
        path: File to write.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(groups), 5), layout="constrained")
    size = float(np.clip(20_000 / max(len(view), 1), 1, 20))
    for axes, (title, labels) in zip(np.atleast_1d(figure.subplots(1, len(groups))), groups.items(), strict=True):
        names, codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)
        colours = colormaps["tab20"](np.arange(len(names)) % 20)
        axes.scatter(view[:, 0], view[:, 1], c=colours[codes], s=size, linewidths=0, rasterized=True)
        axes.set(title=title, xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
        if len(names) <= _MOST_LEGEND:
            for name, colour in zip(names, colours, strict=True):
                axes.scatter([], [], color=colour, label=name)
            axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=150)
