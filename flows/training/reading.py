"""Windows as they are trained on: read from stores, thinned, cut to views, read ahead by a thread."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int8

from diffbio_core.candidates.views import cut_views
from diffbio_core.training.labels import UNKNOWN
from diffbio_core.training.view_changes import change_views
from diffbio_core.training.window_depth import mean_depth, rotated, still_proposed, thinned_depth
from diffbio_core.windows.encoding import NUM_RANKS
from diffbio_core.windows.planes import PlaneBuffers
from diffbio_flows.training.labelling import LabelTask, ShardLabels, load_labels
from diffbio_flows.training.plan import TrainingPlan
from diffbio_flows.training.roles import trained_on
from diffbio_flows.training.schedule import LeafWindows, Piece
from diffbio_io.store.store import WindowStore


class LabelsChangedError(RuntimeError):
    """Labels beside a store are gone, or are no longer those that the training began with."""


@dataclass(frozen=True)
class Examples:
    """Candidates to train on.

    Attributes:
        views: Arrays of ``CandidateViews`` by name.
        labels: Copies of each.
    """

    views: Mapping[str, np.ndarray]
    labels: Int8[np.ndarray, "candidates"]

    def __len__(self) -> int:
        return self.labels.size

    def take(self, which: np.ndarray | slice) -> Examples:
        """Some of them."""
        return Examples({name: values[which] for name, values in self.views.items()}, self.labels[which])

    def filled(self, size: int) -> Examples:
        """As many as ``size``, the end of them without reads and label."""
        more = size - len(self)
        if not more:
            return self
        labels = np.concatenate([self.labels, np.full(more, UNKNOWN, np.int8)])
        views = {
            name: np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])
            for name, values in self.views.items()
        }
        return Examples(views, labels)

    @classmethod
    def joined(cls, parts: Iterable[Examples]) -> Examples:
        """All of several."""
        parts = list(parts)
        views = {name: np.concatenate([part.views[name] for part in parts]) for name in parts[0].views}
        return cls(views, np.concatenate([part.labels for part in parts]))


class WindowReader:
    """Reads what leaves consist of, and ahead of them; several threads may ask.

    Args:
        plan: What is trained on.
        held: Pieces that are kept at most.

    Attributes:
        rows: Rows of every view.
    """

    def __init__(self, plan: TrainingPlan, held: int) -> None:
        self._plan, self._held = plan, held
        limits = plan.pipeline.limits
        self.rows = -(-limits.max_reads // 32) * 32
        self._pieces: OrderedDict[tuple[int, Piece], Future[dict[int, Examples]]] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="read ahead")
        # Of the thread that reads.
        self._buffers, self._stores = PlaneBuffers(), dict[str, WindowStore]()

    def leaf(self, leaf: LeafWindows) -> Examples:
        """Candidates of a leaf; what it will need next is read meanwhile."""
        needed = list(dict.fromkeys(piece for piece, _ in leaf.windows))
        futures = {piece: self._asked(leaf.epoch, piece) for piece in needed}
        found = {piece: future.result() for piece, future in futures.items()}
        for piece in leaf.ahead:
            self._asked(leaf.epoch, piece)
        return Examples.joined(found[piece][window] for piece, window in leaf.windows)

    def close(self) -> None:
        """Stops reading ahead."""
        self._reading.shutdown(cancel_futures=True)

    def _asked(self, epoch: int, piece: Piece) -> Future[dict[int, Examples]]:
        key = epoch, piece
        with self._lock:
            if key in self._pieces and not self._pieces[key].cancelled():
                self._pieces.move_to_end(key)
            else:
                self._pieces[key] = self._reading.submit(self._read, epoch, piece)
            while len(self._pieces) > self._held:
                self._pieces.popitem(last=False)[1].cancel()
            return self._pieces[key]

    def _read(self, epoch: int, piece: Piece) -> dict[int, Examples]:
        plan = self._plan
        planned = plan.shards[piece.shard]
        source = plan.sets[planned.source]
        labels = planned_labels(plan, piece.shard)
        url = source.source.store
        store = self._stores.setdefault(url, WindowStore(url))
        planes = store.read(planned.shard, self._buffers)
        limits = plan.pipeline.limits
        wanted = trained_on(source, planned.shard.contig, labels.positions) & (labels.labels != UNKNOWN)
        wanted &= np.isin(labels.windows, piece.windows)
        which = np.flatnonzero(wanted).astype(np.int32)
        about = plan.seed, epoch, source.source.title, planned.shard.contig, piece.occurrence
        first = planned.shard.first_window
        random = {window: keyed(*about, first + window) for window in piece.windows}
        shares = np.ones(planned.shard.num_windows)
        if source.source.depth is not None:
            low, high = np.log(source.source.depth)
            depths = mean_depth(planes)
            for window in piece.windows:
                target = np.exp(random[window].uniform(low, high))
                shares[window] = min(1.0, target / max(depths[window], 1e-9))
            planes = rotated(planes, int(keyed(*about, "ranks", planned.shard.index).integers(NUM_RANKS)))
        depth = thinned_depth(planes, which, shares, limits.max_reads, limits.thinned_reads)
        # Rates as they are: what is not trained on cannot be learned from.
        views = cut_views(planes, which, self.rows, depth=depth, limits=replace(limits, min_slippage=1e-9))
        kept = np.ones(which.size, bool)
        thinned = depth.shown[which] < depth.covering[which]
        kept[thinned] = still_proposed(views, depth.shown[which])[thinned]
        # Seeds are drawn for all of a window's candidates, so that which are kept does not show in the others'.
        seeds = np.zeros(which.size, np.uint64)
        for window in piece.windows:
            here = labels.windows[which] == window
            seeds[here] = random[window].integers(0, 1 << 64, int(here.sum()), np.uint64)
        change_views(views, plan.augmentation, seeds)
        arrays = views.arrays()
        return {
            window: Examples({name: values[chosen] for name, values in arrays.items()}, labels.labels[which][chosen])
            for window in piece.windows
            if (chosen := kept & (labels.windows[which] == window)) is not None
        }


def planned_labels(plan: TrainingPlan, number: int) -> ShardLabels:
    """Labels of a planned shard.

    Raises:
        LabelsChangedError: They are not those of the plan.
    """
    planned = plan.shards[number]
    source = plan.sets[planned.source]
    labels = load_labels(LabelTask(source, planned.shard, planned.made_of))
    if labels is None:
        raise LabelsChangedError(
            f"the labels of shard {planned.shard.name} beside {source.source.store} are gone, or were made again of "
            "other files since the training began: give the same command again"
        )
    return labels


def keyed(*about: object) -> np.random.Generator:
    """Random numbers that follow from what they are about alone."""
    digest = hashlib.blake2b("\0".join(map(str, about)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
