"""Which controls a cell is paired with: of its file, its cell type and its split, and of its batch where asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from diffbio_core.operators.validation import check_positive
from diffbio_core.sources.perturbation.modes import MappingStrategy, check_mode
from diffbio_core.structural import StructuralConfig

NO_CONTROL = -1
"""What a mapping holds where there is no control to pair with."""


@dataclass(frozen=True)
class ControlMappingConfig(StructuralConfig):
    """Configuration of `RandomControlMapping` and `BatchControlMapping`.

    Attributes:
        strategy: "random" or "batch".
        n_basal_samples: Controls per cell.
        seed: Seed of the draws.
        map_controls: Whether controls are paired with other controls, too.
        cache_pairs: Whether the same source and split give the very same array again.
        batch_fallback: Whether a cell of a batch without controls gets those of its cell type.

    Raises:
        ValueError: Another strategy, or no controls per cell.
    """

    strategy: str = "random"
    n_basal_samples: int = 1
    seed: int = 42
    map_controls: bool = False
    cache_pairs: bool = False
    batch_fallback: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_mode("strategy", self.strategy, MappingStrategy)
        check_positive("control mapping", n_basal_samples=self.n_basal_samples)


class RandomControlMapping:
    """Pairs a cell with random controls of its cell type, file and split."""

    by_batch = False

    def __init__(self, config: ControlMappingConfig):
        self.config = config
        self._cached: tuple[Any, bytes | None, np.ndarray] | None = None

    def build_mapping(
        self, source: Any, split: Int[np.ndarray, "cells"] | None = None
    ) -> Int[np.ndarray, "mapped n_basal"]:
        """Draw controls, without repeats unless there are fewer than are to be drawn.

        Args:
            source: Its cells' types, batches and files, and which are controls.
            split: Split of every cell, -1 for none: cells of none are neither paired nor drawn. All are one split
                if None.

        Returns:
            For each perturbed cell in order (for each cell with `map_controls`) the numbers of its controls among all
            cells; -1 where there are none.

        Raises:
            ValueError: The source has no control at all.
        """
        key = None if split is None else np.asarray(split).tobytes()
        if self.config.cache_pairs and self._cached and self._cached[0] is source and self._cached[1] == key:
            return self._cached[2]
        control = np.asarray(source.get_control_mask())
        if not control.any():
            name = getattr(source, "name", "the source")
            raise ValueError(f"{name} has no control: control_pert must be the label that its controls have")
        cells = np.arange(len(control)) if self.config.map_controls else np.flatnonzero(~control)
        mapping = np.full((len(control), self.config.n_basal_samples), NO_CONTROL, dtype=np.int64)
        for strata in self._strata(source, split):
            left = np.zeros(len(control), bool)
            left[cells] = mapping[cells, 0] == NO_CONTROL
            self._draw(mapping, left, control, strata)
        found = mapping[cells]
        if self.config.cache_pairs:
            self._cached = (source, key, found)
        return found

    def _strata(self, source: Any, split: np.ndarray | None) -> list[np.ndarray]:
        """What must agree between a cell and its control, as one number per cell, -1 for cells left out."""
        codes = [np.asarray(source.get_cell_type_codes())]
        if hasattr(source, "get_file_codes"):
            codes.append(np.asarray(source.get_file_codes()))
        if split is not None:
            codes.append(np.asarray(split))
        out = None if split is None else np.asarray(split) < 0
        strata = [_combined(codes, out)]
        if self.by_batch:
            strata.insert(0, _combined([*codes, np.asarray(source.get_batch_codes())], out))
            if not self.config.batch_fallback:
                strata.pop()
        return strata

    def _draw(
        self,
        mapping: Int[np.ndarray, "cells n_basal"],
        wanted: Bool[np.ndarray, "cells"],
        control: Bool[np.ndarray, "cells"],
        strata: Int[np.ndarray, "cells"],
    ) -> None:
        """Pair the wanted cells within strata; perturbed cells first, so that pairing controls changes none of them."""
        pools = _members(strata, np.flatnonzero(control & (strata >= 0)))
        for number, kind in enumerate((wanted & ~control, wanted & control)):
            generator = np.random.default_rng((self.config.seed, number))
            for stratum, cells in _members(strata, np.flatnonzero(kind & (strata >= 0))).items():
                pool = pools.get(stratum)
                if pool is None or (number and len(pool) < 2):
                    continue
                # A control is not its own control: draws from the others, which are one fewer.
                drawn = _draws(generator, len(pool) - number, len(cells), self.config.n_basal_samples)
                if number:
                    drawn += drawn >= np.searchsorted(pool, cells)[:, None]
                mapping[cells] = pool[drawn]


class BatchControlMapping(RandomControlMapping):
    """Pairs a cell with controls of its batch, cell type, file and split; without any, with those of its cell type."""

    by_batch = True


def _combined(codes: list[np.ndarray], out: np.ndarray | None) -> Int[np.ndarray, "cells"]:
    combined = np.zeros(len(codes[0]), np.int64)
    for code in codes:
        combined = combined * (int(code.max(initial=0)) + 2) + code + 1
    return combined if out is None else np.where(out, -1, combined)


def _members(strata: Int[np.ndarray, "cells"], cells: Int[np.ndarray, "n"]) -> dict[int, Int[np.ndarray, "m"]]:
    """Cells by stratum, in order."""
    if not len(cells):
        return {}
    order = np.argsort(strata[cells], kind="stable")
    values, starts = np.unique(strata[cells][order], return_index=True)
    return dict(zip(map(int, values), np.split(cells[order], starts[1:]), strict=True))


def _draws(generator: np.random.Generator, pool: int, cells: int, draws: int) -> Int[np.ndarray, "cells draws"]:
    """Places in a pool, without repeats in a row unless it is too small."""
    found = generator.integers(pool, size=(cells, draws))
    if draws == 1 or draws > pool:
        return found
    if draws * draws <= pool:  # repeats are rare: draw such rows again
        while True:
            ordered = np.sort(found, axis=1)
            repeated = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
            if not len(repeated):
                return found
            found[repeated] = generator.integers(pool, size=(len(repeated), draws))
    for start in range(0, cells, 256):
        part = generator.random((len(found[start : start + 256]), pool))
        found[start : start + 256] = np.argsort(part, axis=1)[:, :draws]
    return found
