"""Perturbation experiments: their files as sources of cells, pairs with controls, and experiments as TOML."""

from diffbio_core.sources.labels import safe_decode_array
from diffbio_core.sources.perturbation.concat_source import PerturbationConcatSource
from diffbio_core.sources.perturbation.control_mapping import (
    BatchControlMapping,
    ControlMappingConfig,
    RandomControlMapping,
)
from diffbio_core.sources.perturbation.experiment_config import (
    DatasetEntry,
    ExperimentConfig,
    FewshotEntry,
    ZeroshotEntry,
    load_experiment_config,
)
from diffbio_core.sources.perturbation.h5_metadata_cache import GlobalH5MetadataCache, H5MetadataCache
from diffbio_core.sources.perturbation.modes import MappingStrategy, OutputSpaceMode
from diffbio_core.sources.perturbation.perturbation_source import PerturbationAnnDataSource, PerturbationSourceConfig
from diffbio_core.sources.perturbation.scale import (
    generate_onehot_map,
    is_discrete_counts,
    is_log_transformed,
    split_perturbations_by_cell_fraction,
)

__all__ = [
    "BatchControlMapping",
    "ControlMappingConfig",
    "DatasetEntry",
    "ExperimentConfig",
    "FewshotEntry",
    "GlobalH5MetadataCache",
    "H5MetadataCache",
    "MappingStrategy",
    "OutputSpaceMode",
    "PerturbationAnnDataSource",
    "PerturbationConcatSource",
    "PerturbationSourceConfig",
    "RandomControlMapping",
    "ZeroshotEntry",
    "generate_onehot_map",
    "is_discrete_counts",
    "is_log_transformed",
    "load_experiment_config",
    "safe_decode_array",
    "split_perturbations_by_cell_fraction",
]
