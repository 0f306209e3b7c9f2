"""Batches of sentences: cells of one type under one perturbation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from diffbio_core.operators.validation import check_positive
from diffbio_core.structural import StructuralConfig


@dataclass(frozen=True)
class PerturbationSamplerConfig(StructuralConfig):
    """Configuration of `PerturbationBatchSampler`.

    Attributes:
        sentence_size: Most cells of a sentence.
        sentences_per_batch: Sentences of a batch.
        seed: Seed of the sentences and of their order.
        drop_last: Whether a last batch of fewer sentences is left out.
        downsample_cells: Most cells of a group, drawn at random; None for all.

    Raises:
        ValueError: A number that is not positive.
    """

    sentence_size: int = 512
    sentences_per_batch: int = 1
    seed: int = 42
    drop_last: bool = False
    downsample_cells: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("sampler", sentence_size=self.sentence_size, sentences_per_batch=self.sentences_per_batch)
        if self.downsample_cells is not None:
            check_positive("sampler", downsample_cells=self.downsample_cells)


class PerturbationBatchSampler:
    """Batches of sentences in an order that changes every epoch; what a sentence holds comes from the seed alone.

    Args:
        config: Sizes and seed.
        group_codes: Group of every cell that is to come, such as `get_group_codes()` of these cells.
        cell_indices: Numbers of those cells, which batches then hold; their places in `group_codes` if None.

    Raises:
        ValueError: Another number of groups than of cells.
    """

    def __init__(
        self,
        config: PerturbationSamplerConfig,
        group_codes: Int[np.ndarray, "cells"],
        cell_indices: Int[np.ndarray, "cells"] | None = None,
    ):
        self.config = config
        groups = np.asarray(group_codes)
        cells = np.arange(len(groups)) if cell_indices is None else np.asarray(cell_indices)
        if len(cells) != len(groups):
            raise ValueError(f"{len(groups)} group codes for {len(cells)} cells")
        self._epoch = 0
        self._sentences = _sentences(config, groups, cells)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng(self.config.seed + self._epoch).permutation(len(self._sentences))
        size = self.config.sentences_per_batch
        for batch in range(len(self)):
            yield [cell for place in order[batch * size : (batch + 1) * size] for cell in self._sentences[place]]

    def __len__(self) -> int:
        """Batches of an epoch."""
        full, rest = divmod(len(self._sentences), self.config.sentences_per_batch)
        return full + (rest > 0 and not self.config.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose order comes next."""
        self._epoch = epoch


def _sentences(
    config: PerturbationSamplerConfig, groups: Int[np.ndarray, "cells"], cells: Int[np.ndarray, "cells"]
) -> list[list[int]]:
    generator = np.random.default_rng(config.seed)
    order = generator.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    _, starts = np.unique(groups[order], return_index=True)
    return [
        group[start : start + config.sentence_size].tolist()
        for group in (found[: config.downsample_cells] for found in np.split(cells[order], starts[1:]))
        for start in range(0, len(group), config.sentence_size)
    ]
