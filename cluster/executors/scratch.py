"""Where workers put their own temporary files."""

from __future__ import annotations

from diffbio_cluster.config import ClusterConfig


def scratch_environment(config: ClusterConfig) -> dict[str, str]:
    """Temporary files of a worker that is killed stay; in the scratch folder its owner finds and removes them."""
    return {"TMPDIR": config.scratch} if config.scratch else {}
