"""Normalisation of counts and low-dimensional views of them."""

from diffbio_core.operators.normalization.umap import DifferentiableUMAP, UMAPConfig
from diffbio_core.operators.normalization.vae_normalizer import VAENormalizer, VAENormalizerConfig

__all__ = ["DifferentiableUMAP", "UMAPConfig", "VAENormalizer", "VAENormalizerConfig"]
