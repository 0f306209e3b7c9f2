"""Batches for a device that several threads feed: candidates of several shards go through a pipeline together."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Float64

from diffbio_core.candidates.views import CandidateViews

Classify = Callable[[dict[str, np.ndarray]], Float[jax.Array, "candidates 3"]]

IN_FLIGHT = 2
"""Batches handed to the device before the first of them is waited for, so that it never waits for the next."""


@dataclass
class _Part:
    """Some views of one thread, and how many of their results are still to come."""

    views: dict[str, np.ndarray]
    result: Float64[np.ndarray, "candidates 3"]
    missing: int
    future: Future[np.ndarray]


class DeviceBatches:
    """Joins the views of several threads into batches of one size, which a thread of its own runs in turn.

    A batch is full where threads offer enough, and never waits for more than is there. What a view gets does not depend
    on its batch as long as ``classify`` treats every row alike.

    Args:
        classify: Results of ``size`` views, all with one number of rows; it may return before they are there.
        size: Views of a batch; what is missing is filled up.
    """

    def __init__(self, classify: Classify, size: int) -> None:
        self._classify, self._size = classify, size
        self._offered: queue.SimpleQueue[_Part] = queue.SimpleQueue()
        self._running: deque[tuple[Float[jax.Array, "candidates 3"], list[tuple[_Part, int, int]]]] = deque()
        threading.Thread(target=self._run, name="device batches", daemon=True).start()

    def submit(self, views: CandidateViews) -> Future[np.ndarray]:
        """Results (candidates, 3) of views, in their order, once the device has come to them."""
        part = _Part(views.arrays(), np.empty((len(views), 3)), len(views), Future())
        if len(views):
            self._offered.put(part)
        else:
            part.future.set_result(part.result)
        return part.future

    def _run(self) -> None:
        waiting: dict[int, deque[tuple[_Part, int]]] = defaultdict(deque)
        while True:
            if not any(waiting.values()) and not self._running:
                self._take(waiting, self._offered.get())
            while not self._offered.empty():
                self._take(waiting, self._offered.get())
            for parts in waiting.values():
                if parts:
                    self._start(parts)
            while len(self._running) > (IN_FLIGHT - 1 if any(waiting.values()) or not self._offered.empty() else 0):
                self._finish()

    def _take(self, waiting: dict[int, deque[tuple[_Part, int]]], part: _Part) -> None:
        waiting[part.views["group"].shape[1]].append((part, 0))

    def _start(self, parts: deque[tuple[_Part, int]]) -> None:
        """Hands one batch to the device."""
        pieces: list[tuple[_Part, int, int]] = []
        room = self._size
        while parts and room:
            part, start = parts.popleft()
            stop = min(len(part.result), start + room)
            pieces.append((part, start, stop))
            room -= stop - start
            if stop < len(part.result):
                parts.appendleft((part, stop))
        try:
            batch = {
                name: _filled([part.views[name][start:stop] for part, start, stop in pieces], self._size)
                for name in pieces[0][0].views
            }
            self._running.append((self._classify(batch), pieces))
        except Exception as error:
            _fail(pieces, error)

    def _finish(self) -> None:
        """Waits for the oldest batch and gives every part its results."""
        result, pieces = self._running.popleft()
        try:
            found = np.asarray(result, np.float64)
        except Exception as error:
            _fail(pieces, error)
            return
        offset = 0
        for part, start, stop in pieces:
            part.result[start:stop] = found[offset : offset + stop - start]
            offset += stop - start
            part.missing -= stop - start
            if not part.missing and not part.future.done():
                part.future.set_result(part.result)


def _filled(pieces: list[np.ndarray], size: int) -> np.ndarray:
    """Pieces one after another, and zeros up to a size."""
    batch = np.zeros((size, *pieces[0].shape[1:]), pieces[0].dtype)
    offset = 0
    for piece in pieces:
        batch[offset : offset + len(piece)] = piece
        offset += len(piece)
    return batch


def _fail(pieces: list[tuple[_Part, int, int]], error: Exception) -> None:
    for part, _, _ in pieces:
        if not part.future.done():
            part.future.set_exception(error)
