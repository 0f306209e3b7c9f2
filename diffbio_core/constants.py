"""Values that operators, pipelines and their configurations share."""

from __future__ import annotations

import enum

DEFAULT_TEMPERATURE = 1.0
"""Temperature that leaves a softmax as it is."""

DEFAULT_QUALITY_THRESHOLD = 20.0
"""Phred quality (error 1 %) at which a soft filter keeps half of a base."""

ILLUMINA_ADAPTER = "AGATCGGAAGAG"
"""First 12 bases of the adapter that Illumina's TruSeq libraries end in."""

BASES = "ACGT"
"""Order of the channels of a one-hot base."""

NUM_BASES = len(BASES)


class ClassifierType(enum.StrEnum):
    """Network that a variant calling pipeline ends in."""

    MLP = "mlp"
    CNN = "cnn"
