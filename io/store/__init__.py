"""The window store: decoded reads in Zarr."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_io.store.store import StoreError, WindowStore

__all__ = ["StoreError", "WindowStore"]

__getattr__ = lazy_names(
    __name__,
    {"store": ("StoreError", "WindowStore")},
)
