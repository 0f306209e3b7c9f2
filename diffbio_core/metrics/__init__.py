"""What integrations and clusterings are judged by."""

from diffbio_core.metrics.lisi import local_inverse_simpson
from diffbio_core.metrics.rand_index import adjusted_rand_index

__all__ = ["adjusted_rand_index", "local_inverse_simpson"]
