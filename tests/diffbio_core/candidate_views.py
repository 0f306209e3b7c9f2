"""Views of made-up candidates, for tests of what works on them."""

from __future__ import annotations

import numpy as np

from diffbio_core.candidates.views import WIDTH
from diffbio_core.windows.encoding import NO_READ


def random_views(seed: int, candidates: int, rows: int) -> dict[str, np.ndarray]:
    """Views of random reads: half of the rows hold one, each with its own stretch of the columns."""
    random = np.random.default_rng(seed)
    group = random.integers(1, 7, (candidates, rows)) * (random.random((candidates, rows)) < 0.5)
    low = random.integers(0, WIDTH // 2, (candidates, rows, 1))
    high = random.integers(WIDTH // 2 + 1, WIDTH, (candidates, rows, 1))
    columns = np.arange(WIDTH)
    present = (group > 0)[..., None] & (columns >= low) & (columns <= high)
    symbol = random.integers(0, 6, (candidates, rows, WIDTH)) | random.choice(
        [0, 0, 0, 8, 16], (candidates, rows, WIDTH)
    )
    return {
        "symbol": np.where(present, symbol, NO_READ).astype(np.uint8),
        "base_quality": np.where(present, random.integers(2, 42, symbol.shape), 0).astype(np.uint8),
        "mapping_quality": np.where(group > 0, random.integers(0, 61, group.shape), 0).astype(np.uint8),
        "group": group.astype(np.uint8),
        "reference": random.integers(0, 4, (candidates, WIDTH)).astype(np.uint8),
        "allele": random.integers(0, 4, (candidates, WIDTH)).astype(np.uint8),
        "length": random.integers(-9, 10, candidates).astype(np.int32),
        "tract": random.integers(0, 12, candidates).astype(np.int32),
        "crowd": random.integers(0, 5, candidates).astype(np.int32),
        "rival": random.integers(0, rows, candidates).astype(np.int32),
        "lengths": random.integers(0, rows, (candidates, 4)).astype(np.int32),
        "slippage": random.uniform(1e-3, 0.05, (candidates, 2)).astype(np.float32),
    }
