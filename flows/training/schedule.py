"""Which windows each step looks at: a function of seed and epoch alone, whoever reads them.

A batch is a fixed number of leaves, and each leaf's place has a queue of its own: the pieces of shards that an epoch
deals to it. A few pieces are open at a time, and their windows come in random order; so a worker that has some of the
places reads each of their shards once in an epoch, and holds no more than a few shards for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class BatchShape:
    """What one step looks at.

    Attributes:
        leaves: Micro-batches whose gradients are summed; fixed, whatever the number of workers.
        windows: Windows of each.
        open_pieces: Pieces of shards whose windows are mixed, of each leaf's place.
    """

    leaves: int = 8
    windows: int = 4
    open_pieces: int = 2


@dataclass(frozen=True)
class Piece:
    """Some windows of a shard, in one of the times that an epoch shows it.

    Attributes:
        shard: Number of the shard in the plan.
        occurrence: Which time of the epoch.
        windows: Windows within the shard.
    """

    shard: int
    occurrence: int
    windows: tuple[int, ...]


@dataclass(frozen=True)
class LeafWindows:
    """What one leaf of one step consists of.

    Attributes:
        epoch: From 0.
        windows: Piece and window within its shard, in order.
        ahead: Pieces that the same place will need next, in order.
    """

    epoch: int
    windows: tuple[tuple[Piece, int], ...]
    ahead: tuple[Piece, ...]


class Schedule:
    """The order of all windows of a training.

    Args:
        windows: Windows with candidates to train on, by shard.
        weights: How often an epoch shows each shard.
        shape: Of a batch.
        seed: Of the order.

    Attributes:
        steps_per_epoch: Steps of every epoch.
    """

    def __init__(
        self, windows: Sequence[Sequence[int]], weights: Sequence[float], shape: BatchShape, seed: int
    ) -> None:
        self._windows = [tuple(found) for found in windows]
        self._weights = np.array(weights, float)
        self._shape, self._seed = shape, seed
        shown = sum(weight * len(found) for weight, found in zip(weights, windows, strict=True))
        self.steps_per_epoch = max(1, round(shown / (shape.leaves * shape.windows)))
        self._lanes = lru_cache(maxsize=2)(self._deal)

    def leaf(self, step: int, place: int) -> LeafWindows:
        """Windows of one leaf.

        Args:
            step: From 0, over all epochs.
            place: Of the leaf in the batch.
        """
        epoch, within = divmod(step, self.steps_per_epoch)
        groups = self._lanes(epoch)[place]
        bounds = np.cumsum([0, *map(len, groups)])
        # Where an epoch's windows do not fill its steps, it begins again.
        places = np.arange(within * self._shape.windows, (within + 1) * self._shape.windows) % bounds[-1]
        of_group = np.searchsorted(bounds, places, side="right") - 1
        chosen = tuple(groups[group][at - bounds[group]] for at, group in zip(places, of_group, strict=True))
        open_now = groups[of_group[-1] : of_group[-1] + 2]
        ahead = dict.fromkeys(piece for group in open_now for piece, _ in group)
        return LeafWindows(epoch, chosen, tuple(ahead))

    def _deal(self, epoch: int) -> list[list[list[tuple[Piece, int]]]]:
        """Windows of each place, in groups of open pieces."""
        random = np.random.default_rng([self._seed, epoch])
        draws = np.floor(self._weights + random.random(self._weights.size)).astype(int)
        shown = [(shard, time) for shard, times in enumerate(draws) for time in range(times)]
        shown = shown or [(int(np.argmax(self._weights)), 0)]
        lanes = self._shape.leaves
        cuts = -(-lanes * self._shape.open_pieces // len(shown))
        pieces = []
        for place in random.permutation(len(shown)):
            shard, time = shown[place]
            order = random.permutation(self._windows[shard])
            for cut in range(min(cuts, order.size)):
                pieces.append(Piece(shard, time, tuple(sorted(order[cut::cuts].tolist()))))
        dealt: list[list[Piece]] = [[] for _ in range(lanes)]
        filled = np.zeros(lanes, int)
        for piece in pieces:
            lane = int(filled.argmin())
            dealt[lane].append(piece)
            filled[lane] += len(piece.windows)
        return [self._mixed(lane or [pieces[0]], random) for lane in dealt]

    def _mixed(self, pieces: list[Piece], random: np.random.Generator) -> list[list[tuple[Piece, int]]]:
        groups = []
        for start in range(0, len(pieces), self._shape.open_pieces):
            entries = [
                (piece, window) for piece in pieces[start : start + self._shape.open_pieces] for window in piece.windows
            ]
            groups.append([entries[at] for at in random.permutation(len(entries))])
        return groups
