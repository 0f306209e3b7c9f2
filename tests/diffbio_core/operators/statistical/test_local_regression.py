import numpy as np
import pytest

from diffbio_core.operators.statistical.local_regression import loess, lowess


def test_loess_is_that_of_r():
    x = np.linspace(0, 8, 60)
    y = np.round(100 * np.sin(x))

    found = loess(x, y, 0.4, np.array([0.3, 2.2, 5, 7.9]))

    assert found == pytest.approx([31.3253608263, 79.7603859579, -94.9495749736, 103.2511396303], rel=1e-10)


def test_lowess_is_that_of_r_and_passes_an_outlier_by():
    x = np.linspace(0.2, 0.95, 20)
    y = np.array(
        [754, 774, 791, 767, 798, 797, 801, 300, 776, 824, 782, 772, 777, 791, 784, 768, 748, 746, 774, 743],
        dtype=float,
    )

    found = lowess(x, y, 2 / 5)

    expected = [761.269003205, 769.080255848, 776.865880968, 784.869466554, 790.594688076, 793.492667748, 793.254014150]
    assert found[:7] == pytest.approx(expected, rel=1e-11)
    assert found[-1] == pytest.approx(747.505396982, rel=1e-11)


def test_a_line_is_left_as_it_is():
    x = np.linspace(0, 1, 50)
    assert lowess(x, 3 * x + 1, 0.2) == pytest.approx(3 * x + 1, abs=1e-12)
    assert loess(x, 3 * x + 1, 0.3, x) == pytest.approx(3 * x + 1, abs=1e-12)
