"""Operators that find where reads lie."""

from diffbio_core.operators.mapping.neural_mapper import NeuralReadMapper, NeuralReadMapperConfig

__all__ = ["NeuralReadMapper", "NeuralReadMapperConfig"]
