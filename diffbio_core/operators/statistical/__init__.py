"""Negative binomial models of counts: a differentiable regression, and DESeq2's method to fit and test it.

The method itself is in modules of their own, which import Numba.
"""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.operators.statistical.nb_glm import DifferentiableNBGLM, NBGLMConfig

__all__ = ["DifferentiableNBGLM", "NBGLMConfig"]

__getattr__ = lazy_names(
    __name__,
    {"nb_glm": ("DifferentiableNBGLM", "NBGLMConfig")},
)
