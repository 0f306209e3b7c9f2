"""The science of diffbio: differentiable operators, pipelines, windows, calling and training.

Arrays in, arrays out: but for models, and for the folder where Numba keeps compiled kernels, nothing here opens a file,
starts a process or reads a clock.
"""

from diffbio_core.kernel_cache import use_kernel_cache

__version__ = "0.1.0"

__all__ = ["__version__"]

# Before any kernel is defined, whichever module of this package is imported first.
use_kernel_cache()
