"""Negative binomial models of counts: a differentiable regression, and DESeq2's method to fit and test it.

What JAX runs is imported here; the method itself is in modules of their own, which import Numba.
"""

from diffbio_core.operators.statistical.nb_glm import DifferentiableNBGLM, NBGLMConfig

__all__ = ["DifferentiableNBGLM", "NBGLMConfig"]
