"""What DESeq2 1.38.3 found in simulated counts, kept beside this file.

``paired`` are 4 donors before and after a treatment, ~ cell + dex: 3 degrees of freedom. ``outliers`` are 8 against 8
samples with 20 counts made far too high. Each was simulated from a negative binomial law.
"""

from pathlib import Path

import numpy as np
import pandas as pd

_FOLDER = Path(__file__).parent / "deseq2"


def deseq2_results(name):
    """Counts (samples x genes), the table of samples, and DESeq2's columns by gene."""
    table = pd.read_csv(_FOLDER / f"{name}.csv", index_col=0)
    samples = pd.read_csv(_FOLDER / f"{name}_samples.csv", index_col=0)
    return table[list(samples.index)].T, samples, table.drop(columns=list(samples.index))


def same_nan(found, expected):
    """Whether two arrays are NaN at the same places."""
    return (np.isnan(np.asarray(found, dtype=float)) == np.isnan(np.asarray(expected, dtype=float))).all()
