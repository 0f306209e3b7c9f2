"""Which cells are trained on, which are chosen by, and which are measured on."""

from diffbio_core.splitters.base import Assignment, SplitResult, SplitterConfig, SplitterModule
from diffbio_core.splitters.experiment import assign_experiment
from diffbio_core.splitters.perturbation import (
    FewShotSplitter,
    FewShotSplitterConfig,
    ZeroShotSplitter,
    ZeroShotSplitterConfig,
)
from diffbio_core.splitters.random import RandomSplitter, RandomSplitterConfig

__all__ = [
    "Assignment",
    "FewShotSplitter",
    "FewShotSplitterConfig",
    "RandomSplitter",
    "RandomSplitterConfig",
    "SplitResult",
    "SplitterConfig",
    "SplitterModule",
    "ZeroShotSplitter",
    "ZeroShotSplitterConfig",
    "assign_experiment",
]
