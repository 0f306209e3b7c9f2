"""One shard on a worker: the message that asks for it, its stages, and the files by which it counts as done."""
