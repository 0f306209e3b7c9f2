"""The order in which cells come to training."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.samplers.perturbation_sampler import PerturbationBatchSampler, PerturbationSamplerConfig

__all__ = ["PerturbationBatchSampler", "PerturbationSamplerConfig"]

__getattr__ = lazy_names(
    __name__,
    {"perturbation_sampler": ("PerturbationBatchSampler", "PerturbationSamplerConfig")},
)
