"""An iterator worked off in a thread of its own, some steps ahead of whoever takes from it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")

_POLL_SECONDS = 0.2


class _End:
    """After the last item: the fault that ended them, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Ahead(Generic[Item]):
    """Items of a generator, drawn in another thread from when it is entered.

    Args:
        items: Drawn from, and closed, in that thread alone.
        most: Items that may wait to be taken.
    """

    def __init__(self, items: Generator[Item] | Iterator[Item], most: int) -> None:
        self._items = items
        self._waiting: queue.Queue[Item | _End] = queue.Queue(max(1, most))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="ahead", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        """The items; raises what drawing them has raised."""
        while True:
            item = self._waiting.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def _draw(self) -> None:
        end = _End()
        try:
            for item in self._items:
                if not self._offer(item):
                    break
        except BaseException as error:
            end = _End(error)
        finally:
            if isinstance(self._items, Generator):
                self._items.close()
            self._offer(end)

    def _offer(self, item: Item | _End) -> bool:
        """Whether the item was taken over before whoever takes them has stopped."""
        while not self._stopped.is_set():
            try:
                self._waiting.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()
