"""Training of the caller: labels for candidates, augmentation, the optimisation loop."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.training.labels import TruthAlleles, label_candidates
    from diffbio_core.training.vae_training import VAEHistory, VAETrainingConfig, train_vae
    from diffbio_core.training.view_changes import AugmentationConfig, change_views

__all__ = [
    "AugmentationConfig",
    "TruthAlleles",
    "VAEHistory",
    "VAETrainingConfig",
    "change_views",
    "label_candidates",
    "train_vae",
]

__getattr__ = lazy_names(
    __name__,
    {
        "labels": ("TruthAlleles", "label_candidates"),
        "vae_training": ("VAEHistory", "VAETrainingConfig", "train_vae"),
        "view_changes": ("AugmentationConfig", "change_views"),
    },
)
