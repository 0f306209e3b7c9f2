"""Losses of statistical models and of single-cell embeddings."""

from diffbio_core.losses.singlecell_losses import (
    BatchMixingLoss,
    ClusteringCompactnessLoss,
    ShannonDiversityLoss,
    SimpsonDiversityLoss,
)
from diffbio_core.losses.statistical_losses import NegativeBinomialLoss, VAELoss, zinb_negative_log_likelihood

__all__ = [
    "BatchMixingLoss",
    "ClusteringCompactnessLoss",
    "NegativeBinomialLoss",
    "ShannonDiversityLoss",
    "SimpsonDiversityLoss",
    "VAELoss",
    "zinb_negative_log_likelihood",
]
