"""What workers share is made before they need it: the reference's index, and the arrays that they fill side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from diffbio_cluster import TaskFailedError, describe

if TYPE_CHECKING:
    from diffbio_io.store.store import WindowStore


def index_reference(reference: Path, folder: Path) -> None:
    """Has the reference indexed once, before every worker would do it; in a folder where its own cannot be written.

    Raises:
        TaskFailedError: The folder cannot be written.
    """
    from diffbio_io.reference import Reference

    with writing(folder):
        Reference(reference, folder).close()


def create_contigs(store: WindowStore, lengths: Mapping[str, int], made_of: Mapping[str, str]) -> None:
    """Lays out contigs of a window store.

    Raises:
        TaskFailedError: The store cannot be written, or holds other contigs of these names.
    """
    from diffbio_io.store.store import StoreError

    try:
        with writing(store.url):
            store.create_contigs(lengths, made_of)
    except StoreError as error:
        raise TaskFailedError("the window store", str(error)) from error


@contextmanager
def writing(what: str | Path) -> Iterator[None]:
    """Names what could not be written where the system only says why."""
    try:
        yield
    except OSError as error:
        raise TaskFailedError(f"writing {what}", describe(error)) from error
