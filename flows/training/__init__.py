"""Training of the caller from window stores: sets, labels, the order of windows, gradients, checkpoints, validation."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_flows.training.parameters import TrainParameters
    from diffbio_flows.training.sets import TrainingSet

__all__ = ["TrainParameters", "TrainingSet"]

__getattr__ = lazy_names(__name__, {"parameters": ("TrainParameters",), "sets": ("TrainingSet",)})
