"""What an experiment asks: a design matrix with names, and contrasts of its coefficients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

_TINY = 1e-6


@dataclass(frozen=True)
class Contrast:
    """A linear combination of coefficients.

    Attributes:
        name: For tables and plots.
        weights: (coefficients,)
        samples: The samples that the contrast compares; a gene without counts in them has no fold change. None where
            the contrast is a coefficient and that rule does not apply.
    """

    name: str
    weights: Float[np.ndarray, " coefficients"]
    samples: Bool[np.ndarray, " samples"] | None = None


@dataclass(frozen=True)
class Design:
    """A design matrix of full rank.

    Attributes:
        matrix: (samples, coefficients)
        names: Of coefficients.
        two_groups: Whether the design is one factor of two levels.
        levels: Rows of the design by factor and level, and the samples of that level, for contrasts of levels.
        numbers: Columns of numbers that the design takes as continuous, and the coefficients that they are in.

    Raises:
        ValueError: The matrix has no residual degrees of freedom, is not of full rank, or is not finite.
    """

    matrix: Float[np.ndarray, "samples coefficients"]
    names: tuple[str, ...]
    two_groups: bool
    levels: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
    numbers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        samples, width = self.matrix.shape
        if not np.isfinite(self.matrix).all():
            sample, column = np.argwhere(~np.isfinite(self.matrix))[0]
            raise ValueError(f"design: column {self.names[column]} of sample {sample} is not finite")
        rank = np.linalg.matrix_rank(self.matrix)
        if rank < width:
            raise ValueError(
                f"design: its {width} columns {list(self.names)} are linearly dependent (rank {rank}): "
                "one can be told from the others; leave out a factor, or merge levels that always occur together"
            )
        if samples <= width:
            raise ValueError(
                f"design: {samples} samples for {width} coefficients {list(self.names)} leave no replicates "
                "to estimate dispersion from; add samples or use fewer factors"
            )

    @classmethod
    def of_matrix(cls, matrix: Any, names: Sequence[str] | None = None) -> Design:
        """A design given as numbers.

        Args:
            matrix: (samples, coefficients), or a table with a column per coefficient.
            names: Of coefficients; those of the table, or numbers, if None.

        Raises:
            ValueError: What `Design` refuses, or it has other than two axes.
        """
        if names is None and hasattr(matrix, "columns"):
            names = [str(column) for column in matrix.columns]
        values = np.asarray(matrix, dtype=np.float64)
        if values.ndim != 2:
            raise ValueError(f"design has {values.ndim} axes, expected samples x coefficients")
        found = tuple(names) if names is not None else tuple(map(str, range(values.shape[1])))
        if len(found) != values.shape[1]:
            raise ValueError(f"design has {values.shape[1]} columns and {len(found)} names")
        return cls(values, found, _is_two_groups(values), {})

    @classmethod
    def of_formula(cls, formula: str, samples: Any) -> Design:
        """A design given as a formula over a table of samples.

        Args:
            formula: As in R: "~ type + condition"; what is text or categorical is a factor, whose first level in order
                is the reference unless its categories say otherwise.
            samples: pandas DataFrame, a row per sample.

        Raises:
            ValueError: A column that the table lacks or that has gaps, or what `Design` refuses.
        """
        from diffbio_core.operators.statistical.formula import design_of_formula

        return design_of_formula(formula, samples)

    def contrast(self, asked: str | int | Sequence[Any] | None = None) -> Contrast:
        """Find a contrast.

        Args:
            asked: Name or number of a coefficient; (factor, level, reference level), or these as text with commas
                between; or a number per coefficient. The last coefficient if None.

        Raises:
            ValueError: There is no such coefficient, factor or level; the message lists those that there are. None was
                asked for, and the last coefficient is a level of expression, which is no difference.
        """
        if asked is None:
            return self._last_coefficient()
        if isinstance(asked, str):
            return self._named(asked)
        if isinstance(asked, (int, np.integer)):
            if not -len(self.names) <= asked < len(self.names):
                raise ValueError(f"contrast: no coefficient number {asked}; there are {len(self.names)}")
            return self._coefficient(int(asked) % len(self.names))
        if len(asked) == 3 and all(isinstance(part, str) for part in asked):
            return self._levels(*asked)
        weights = np.asarray(asked, dtype=np.float64)
        if weights.shape != (len(self.names),) or not weights.any():
            raise ValueError(
                f"contrast {asked!r}: expected a coefficient of {list(self.names)}, (factor, level, reference), "
                f"or {len(self.names)} weights that are not all 0"
            )
        one_sided = (weights >= 0).all() or (weights <= 0).all()
        concerned = self.matrix @ (weights != 0) != 0
        return Contrast(" ".join(f"{weight:+g}" for weight in weights), weights, None if one_sided else concerned)

    def _coefficient(self, index: int) -> Contrast:
        return Contrast(self.names[index], np.eye(len(self.names))[index])

    def _last_coefficient(self) -> Contrast:
        last = self._coefficient(len(self.names) - 1)
        same_everywhere = np.linalg.lstsq(self.matrix, np.ones(len(self.matrix)))[0]
        if np.allclose(self.matrix @ same_everywhere, 1) and abs(last.weights @ same_everywhere) > _TINY:
            raise ValueError(
                f"contrast: the last coefficient, {last.name!r}, is how much is expressed, not a difference between "
                f"samples; name it if it is meant, or ask for FACTOR,LEVEL,REFERENCE of the factors "
                f"{sorted(self.levels)}"
            )
        return last

    def _named(self, asked: str) -> Contrast:
        """A coefficient or FACTOR,LEVEL,REFERENCE; names, too, may hold commas, as ``poly(age, 2)[1]`` does."""
        if asked in self.names:
            return self._coefficient(self.names.index(asked))
        for factor, known in self.levels.items():
            for level in known:
                for reference in known:
                    if asked == f"{factor},{level},{reference}":
                        return self._levels(factor, level, reference)
        parts = [part.strip() for part in asked.split(",")]
        if len(parts) == 3:
            return self._levels(*parts)
        if len(parts) == 1:
            raise ValueError(f"contrast: no coefficient {asked!r}; there are {list(self.names)}")
        raise ValueError(
            f"contrast: {asked!r} is neither a coefficient nor FACTOR,LEVEL,REFERENCE; "
            f"there are the coefficients {list(self.names)} and the factors {sorted(self.levels)}"
        )

    def _levels(self, factor: str, level: str, reference: str) -> Contrast:
        if factor in self.numbers:
            found = self.numbers[factor]
            raise ValueError(
                f"contrast: {factor!r} is a column of numbers, which the design takes as continuous, so that it has no "
                f"levels; ask for its coefficient{'s' if len(found) > 1 else ''} {', '.join(map(repr, found))} (a "
                f"change per unit), or write C({spelled_in_formula(factor)}) in the design to make a factor of it"
            )
        if factor not in self.levels:
            raise ValueError(f"contrast: no factor {factor!r} in the design; there are {sorted(self.levels)}")
        known = self.levels[factor]
        for name in (level, reference):
            if name not in known:
                raise ValueError(f"contrast: factor {factor!r} has no level {name!r}; there are {sorted(known)}")
        if level == reference:
            raise ValueError(f"contrast: {level!r} is compared with itself; give two levels of {factor!r}")
        row, members = known[level]
        reference_row, reference_members = known[reference]
        return Contrast(f"{factor}: {level} vs {reference}", row - reference_row, members | reference_members)


def spelled_in_formula(column: str) -> str:
    """A column's name as formulas have it: in backticks where it is no word."""
    return column if column.isidentifier() else f"`{column}`"


def _is_two_groups(matrix: Float[np.ndarray, "samples coefficients"]) -> bool:
    return matrix.shape[1] == 2 and len(np.unique(matrix, axis=0)) == 2


ContrastAsked = str | int | Sequence[Any] | None
RowMaker = Callable[[Any], np.ndarray]
