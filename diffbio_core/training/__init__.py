"""Training of the caller: labels for candidates, augmentation, the optimisation loop."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.training.allele_training import AlleleTrainingConfig, train_alleles
    from diffbio_core.training.augmentation import AugmentationConfig, augment_view
    from diffbio_core.training.labels import TruthAlleles, label_candidates
    from diffbio_core.training.vae_training import VAEHistory, VAETrainingConfig, train_vae

__all__ = [
    "AlleleTrainingConfig",
    "AugmentationConfig",
    "TruthAlleles",
    "VAEHistory",
    "VAETrainingConfig",
    "augment_view",
    "label_candidates",
    "train_alleles",
    "train_vae",
]

__getattr__ = lazy_names(
    __name__,
    {
        "allele_training": ("AlleleTrainingConfig", "train_alleles"),
        "augmentation": ("AugmentationConfig", "augment_view"),
        "labels": ("TruthAlleles", "label_candidates"),
        "vae_training": ("VAEHistory", "VAETrainingConfig", "train_vae"),
    },
)
