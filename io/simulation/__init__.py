"""Simulated datasets on disk."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_io.simulation.dataset import SimulatedDataset, simulate_dataset, write_bed, write_fasta, write_truth

__all__ = ["SimulatedDataset", "simulate_dataset", "write_bed", "write_fasta", "write_truth"]

__getattr__ = lazy_names(
    __name__,
    {"dataset": ("SimulatedDataset", "simulate_dataset", "write_bed", "write_fasta", "write_truth")},
)
