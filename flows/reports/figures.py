"""Pictures of a call's report, each as SVG that stands in the page itself."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from diffbio_flows.reports.distributions import DEEPEST, DENSITY_BIN, LONGEST_INDEL, Distributions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Picture = tuple[str, str]
"""Title, and SVG."""

FIRST, SECOND = "#2f6f9f", "#d98032"
"""Colours of what is told apart; a colour-blind reader sees two."""

SUBSTITUTIONS = tuple(f"{one}>{other}" for one in "ACGT" for other in "ACGT" if one != other)


def pictures(
    found: Distributions,
    depths: Mapping[str, Sequence[int]],
    contigs: Mapping[str, int],
    seconds: Mapping[str, float],
) -> list[Picture]:
    """All that there is something to show of.

    Args:
        found: How records are spread.
        depths: By contig, positions by the number of reads that cover them.
        contigs: Lengths (bp), in order.
        seconds: Time of the workers by stage.
    """
    return [*_spread(found), *_along(found, contigs), *_coverage(depths), *_stages(seconds)]


def reliability_picture(bands: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What QUAL and GQ state against how many records were in error, as SVG.

    Args:
        bands: Of ``qual`` and of ``gq``, as `diffbio_flows.reports.reliability.reliability` gives them.
    """
    figure, panels = _figure(2, 3.2, wide=True)
    for axes, (name, rows) in zip(panels, bands.items(), strict=True):
        for kind, marker, colour in (("SNP", "o", FIRST), ("INDEL", "s", SECOND)):
            points = [row for row in rows if row["kind"] == kind]
            # Half an error where there is none, so that its logarithm is finite.
            shares = [max(row["errors"], 0.5) / row["records"] for row in points]
            stated = [row["expected"] / row["records"] for row in points]
            label = f"{kind} ({sum(row['records'] for row in points):,})"
            filled = [colour if row["errors"] else "none" for row in points]
            axes.scatter(stated, shares, marker=marker, edgecolors=colour, facecolors=filled, label=label)
        axes.plot([1e-6, 1], [1e-6, 1], color="grey", linewidth=1)
        axes.set(xscale="log", yscale="log", ylabel="share in error")
        axes.set_xlabel(f"error that {name.upper()} states")
        axes.legend(frameon=False, loc="upper left")
    return _svg(figure)


def _spread(found: Distributions) -> Iterator[Picture]:
    kinds = ("snv", "SNVs"), ("indel", "indels")
    genotypes = ("het", "heterozygous"), ("hom", "homozygous")
    pairs = (
        ("QUAL", "qual", kinds, "QUAL", False),
        ("GQ by genotype", "gq", genotypes, "GQ", True),
        ("Depth by genotype", "depth", genotypes, f"DP, up to {DEEPEST}", False),
        ("Allele fraction by genotype", "fraction", genotypes, "reads of the allele (%)", True),
    )
    # Each legend has the corner that its curve leaves free: one that is looked for takes seconds on a busy machine.
    for title, name, parts, label, left in pairs:
        lines = [(told, found.numbers(f"{name}_{part}")) for part, told in parts]
        if any(points for _, points in lines):
            figure, (axes,) = _figure(1)
            for (told, points), colour in zip(lines, (FIRST, SECOND), strict=True):
                axes.step(*_filled(points), where="mid", color=colour, label=told)
            axes.set(xlabel=label, ylabel="records")
            axes.legend(frameon=False, loc="upper left" if left else "upper right")
            yield title, _svg(figure)
    if lengths := found.numbers("indel_length"):
        figure, (axes,) = _figure(1)
        places, counts = zip(*lengths, strict=True)
        axes.bar(places, counts, width=1.0, color=[SECOND if place < 0 else FIRST for place in places])
        axes.set(xlabel=f"length (bp; deletions below 0, up to {LONGEST_INDEL})", ylabel="alleles", yscale="log")
        yield "Indel lengths", _svg(figure)
    if changes := found.counts.get("substitution"):
        figure, (axes,) = _figure(1)
        transitions = {"A>G", "G>A", "C>T", "T>C"}
        colours = [FIRST if change in transitions else SECOND for change in SUBSTITUTIONS]
        axes.bar(SUBSTITUTIONS, [changes.get(change, 0) for change in SUBSTITUTIONS], color=colours)
        axes.tick_params(axis="x", rotation=45)
        axes.set_ylabel("alleles")
        yield "Substitutions, transitions in blue", _svg(figure)


def _along(found: Distributions, contigs: Mapping[str, int]) -> Iterator[Picture]:
    density = found.density()
    shown = [contig for contig in contigs if contig in density][:30]
    if not shown:
        return
    figure, panels = _figure(len(shown), 0.45 * len(shown) + 0.6, wide=True, rows=True)
    longest = max(contigs[contig] for contig in shown)
    highest = max(max(density[contig]) for contig in shown)
    for axes, contig in zip(panels, shown, strict=True):
        bins = density[contig]
        edges = [min(place * DENSITY_BIN, contigs[contig]) / 1e6 for place in range(len(bins) + 1)]
        axes.stairs(bins, edges, fill=True, color=FIRST)
        axes.set(xlim=(0, longest / 1e6), ylim=(0, highest), yticks=[])
        axes.set_ylabel(contig, rotation=0, ha="right", va="center")
        axes.spines[["top", "right", "left"]].set_visible(False)
        if axes is not panels[-1]:
            axes.set_xticks([])
    panels[-1].set_xlabel(f"position (Mb); records of {DENSITY_BIN // 1_000_000} Mb, up to {highest:,}")
    yield "Records along contigs", _svg(figure)


def _coverage(depths: Mapping[str, Sequence[int]]) -> Iterator[Picture]:
    total: list[int] = []
    for counts in depths.values():
        total += [0] * (len(counts) - len(total))
        for depth, positions in enumerate(counts):
            total[depth] += positions
    if not any(total):
        return
    # Without the last of a thousand positions, which lie where reads pile up.
    rest, last = sum(total), 0
    while last + 1 < len(total) and sum(total[last + 1 :]) > rest / 1000:
        last += 1
    figure, (axes,) = _figure(1)
    axes.step(range(last + 1), [count / 1e6 for count in total[: last + 1]], where="mid", color=FIRST)
    axes.set(xlabel="reads over a position", ylabel="positions (Mb)")
    yield "Coverage", _svg(figure)


def _stages(seconds: Mapping[str, float]) -> Iterator[Picture]:
    if seconds:
        figure, (axes,) = _figure(1, 0.35 * len(seconds) + 0.9, left=1.0)
        names = [name.replace("_", " ") for name in seconds]
        axes.barh(names, list(seconds.values()), color=FIRST)
        axes.invert_yaxis()
        axes.set_xlabel("time of all workers (s)")
        yield "Time by stage", _svg(figure)


def _filled(points: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Numbers in order, those without a record included."""
    if not points:
        return [], []
    counts = dict(points)
    places = list(range(points[0][0], points[-1][0] + 1))
    return places, [counts.get(place, 0) for place in places]


def _figure(
    panels: int, height: float = 2.6, *, left: float = 0.65, wide: bool = False, rows: bool = False
) -> tuple[Any, list[Axes]]:
    from matplotlib.figure import Figure

    # Margins by hand: a layout that is worked out draws everything twice.
    width = 10.4 if wide else 5.2
    margins = {"left": left / width, "right": 1 - 0.1 / width, "bottom": 0.5 / height, "top": 1 - 0.08 / height}
    figure = Figure(figsize=(width, height))
    shape = (panels, 1) if rows else (1, panels)
    axes = list(figure.subplots(*shape, squeeze=False, gridspec_kw=margins).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure without what a page holds already, and without what would change from one time to the next."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "diffbio", "font.family": "sans-serif", "font.size": 9}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return re.sub(r"^.*?(?=<svg )", "", text.getvalue(), flags=re.DOTALL)
