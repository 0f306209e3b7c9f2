"""One shard on a worker: the message that asks for it, its stages, and the files by which it counts as done."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_flows.shards.message import ShardResult, ShardTask
    from diffbio_flows.shards.process import ingest_shard, process_shard

__all__ = ["ShardResult", "ShardTask", "ingest_shard", "process_shard"]

__getattr__ = lazy_names(
    __name__,
    {"message": ("ShardResult", "ShardTask"), "process": ("ingest_shard", "process_shard")},
)
