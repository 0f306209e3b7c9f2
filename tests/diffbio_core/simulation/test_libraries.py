import numpy as np

from diffbio_core.simulation.libraries import DEPTHS, SLIPPAGE, draw_library


def test_libraries_fill_the_range_and_repeat_with_their_seed():
    drawn = [draw_library(np.random.default_rng([5, index])) for index in range(200)]
    slippage, depth = (np.array([getattr(model, name) for model in drawn]) for name in ("slippage", "depth"))
    for values, (low, high) in ((slippage, SLIPPAGE), (depth, DEPTHS)):
        assert low <= values.min() < 1.5 * low
        assert high / 1.5 < values.max() <= high
    assert draw_library(np.random.default_rng([5, 7])) == drawn[7]


def test_depths_can_be_narrowed():
    depths = [draw_library(np.random.default_rng(seed), (20.0, 30.0)).depth for seed in range(20)]
    assert 20 <= min(depths) <= max(depths) <= 30
