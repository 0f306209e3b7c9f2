"""Training, and simulated samples to train on."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.utils.synthetic_data import create_realistic_training_data, create_synthetic_training_data
    from diffbio_core.utils.training import (
        Trainer,
        TrainingConfig,
        TrainingState,
        create_optax_optimizer,
        cross_entropy_loss,
        data_iterator,
    )

__all__ = [
    "Trainer",
    "TrainingConfig",
    "TrainingState",
    "create_optax_optimizer",
    "create_realistic_training_data",
    "create_synthetic_training_data",
    "cross_entropy_loss",
    "data_iterator",
]

__getattr__ = lazy_names(
    __name__,
    {
        "synthetic_data": ("create_realistic_training_data", "create_synthetic_training_data"),
        "training": (
            "Trainer",
            "TrainingConfig",
            "TrainingState",
            "create_optax_optimizer",
            "cross_entropy_loss",
            "data_iterator",
        ),
    },
)
