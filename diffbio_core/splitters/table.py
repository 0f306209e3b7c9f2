"""What each split holds, and why: one line per split, file and cell type."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from diffbio_core.sources.perturbation.cells import CellSource
from diffbio_core.splitters.base import NO_SPLIT, SPLIT_NAMES, TEST, TRAIN, VALID, Assignment


@dataclass(frozen=True)
class SplitRow:
    """Cells of one split, file and cell type; of no split, for one reason.

    Attributes:
        split: "train", "valid", "test" or "none".
        file: File that they are of.
        cell_type: Their type.
        perturbations: How many perturbations they are under.
        perturbed_cells: How many are perturbed.
        controls: How many are controls.
        without_control: How many of the perturbed have no control to be compared with.
        why: Why they are in this split.
    """

    split: str
    file: str
    cell_type: str
    perturbations: int
    perturbed_cells: int
    controls: int
    without_control: int
    why: str


@dataclass(frozen=True)
class SplitTable:
    """What each split holds, and why.

    Attributes:
        rows: Training first, cells of no split last.
    """

    rows: tuple[SplitRow, ...]

    @classmethod
    def of(
        cls, source: CellSource, assignment: Assignment, mapping: Int[np.ndarray, "perturbed n_basal"]
    ) -> SplitTable:
        """Count the cells of an assignment.

        Args:
            source: The cells.
            assignment: Split of each, and why.
            mapping: Controls of the perturbed ones, -1 for none.
        """
        control = source.get_control_mask()
        unpaired = np.zeros(len(control), bool)
        unpaired[np.flatnonzero(~control)] = (mapping < 0).any(axis=1)
        files, cell_types = source.get_file_codes(), source.get_cell_type_codes()
        # Cells of no split are listed reason by reason, those of a split together.
        told = np.where(assignment.split == NO_SPLIT, assignment.why, -1)
        keys, place = np.unique(
            np.stack([assignment.split, files, cell_types, told], axis=1), axis=0, return_inverse=True
        )
        place = place.reshape(-1)
        rows = []
        for number, (split, file, cell_type, _) in enumerate(keys):
            cells = place == number
            reasons = dict.fromkeys(assignment.reasons[why] for why in np.unique(assignment.why[cells]))
            rows.append(
                SplitRow(
                    split=SPLIT_NAMES[int(split)],
                    file=source.cells.file_names[file],
                    cell_type=str(source.get_cell_type_categories()[cell_type]),
                    perturbations=len(np.unique(source.get_pert_codes()[cells & ~control])),
                    perturbed_cells=int(np.count_nonzero(cells & ~control)),
                    controls=int(np.count_nonzero(cells & control)),
                    without_control=int(np.count_nonzero(cells & unpaired)),
                    why="; ".join(reasons),
                )
            )
        order = [SPLIT_NAMES[split] for split in (TRAIN, VALID, TEST, NO_SPLIT)]
        return cls(tuple(sorted(rows, key=lambda row: order.index(row.split))))

    def to_csv(self) -> str:
        """The table as CSV with a header."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(field.name for field in fields(SplitRow))
        writer.writerows(astuple(row) for row in self.rows)
        return text.getvalue()

    def to_dicts(self) -> list[dict[str, str | int]]:
        """The table as one dict per row."""
        return [dict(zip((field.name for field in fields(SplitRow)), astuple(row), strict=True)) for row in self.rows]

    def __str__(self) -> str:
        """The table in aligned columns, with a sum for each split."""
        names = [field.name.replace("_", " ") for field in fields(SplitRow)]
        lines = [names, *self._lines()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        left = {0, 1, 2, 7}
        return "\n".join(
            "  ".join(
                cell.ljust(width) if place in left else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def _lines(self) -> Iterator[list[str]]:
        names = {row.file: Path(row.file).name for row in self.rows}
        short = names if len(set(names.values())) == len(names) else {name: name for name in names}
        for name in dict.fromkeys(row.split for row in self.rows):
            of_split = [row for row in self.rows if row.split == name]
            yield from ([str(value) for value in astuple(replace(row, file=short[row.file]))] for row in of_split)
            if len(of_split) > 1:
                sums = [sum(getattr(row, field.name) for row in of_split) for field in fields(SplitRow)[4:7]]
                yield [name, "all", "", "", *map(str, sums), ""]
