"""Windows: the grid, and the planes that reads are projected and packed into."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.windows.grid import Shard, WindowGrid
    from diffbio_core.windows.packing import pack_shard, shard_interval
    from diffbio_core.windows.planes import PlaneBuffers, ShardPlanes
    from diffbio_core.windows.projection import Planes, project_reads

__all__ = [
    "PlaneBuffers",
    "Planes",
    "Shard",
    "ShardPlanes",
    "WindowGrid",
    "pack_shard",
    "project_reads",
    "shard_interval",
]

__getattr__ = lazy_names(
    __name__,
    {
        "grid": ("Shard", "WindowGrid"),
        "packing": ("pack_shard", "shard_interval"),
        "planes": ("PlaneBuffers", "ShardPlanes"),
        "projection": ("Planes", "project_reads"),
    },
)
