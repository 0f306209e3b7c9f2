import pytest

from diffbio_core.operators.statistical.simulated_spread import (
    chi_square,
    exponential,
    normal,
    normal_quantile,
    seeded_state,
    uniform,
)


def test_draws_are_those_of_r_after_the_same_seed():
    state = seeded_state(2)

    assert [uniform(state) for _ in range(3)] == [0.18488225992769003, 0.7023740359582007, 0.5733263348229229]
    assert [normal(state) for _ in range(3)] == pytest.approx(
        [-0.96189203331283324, 1.5846314881085821, 0.96788387514729224], rel=1e-14
    )
    assert [exponential(state) for _ in range(3)] == pytest.approx(
        [0.099967483431100845, 0.10534813394770026, 1.51162930411416], rel=1e-14
    )


@pytest.mark.parametrize(
    ("degrees", "mean", "following"),
    [
        (1, 1.0275573346255882, 0.37211449378222),
        (2, 1.987909594372506, 1.0732794011667068),
        (3, 3.0027405367684499, 2.9709847659798552),
    ],
)
def test_chi_squares_are_those_of_r(degrees, mean, following):
    state = seeded_state(2)

    assert sum(chi_square(state, degrees) for _ in range(10_000)) / 10_000 == pytest.approx(mean, rel=1e-13)
    assert chi_square(state, degrees) == pytest.approx(following, rel=1e-13)


@pytest.mark.parametrize(
    ("probability", "quantile"),
    [(0.5, 0.0), (0.975, 1.959963984540054), (1e-5, -4.264890793922602), (1e-20, -9.262340089798408)],
)
def test_normal_quantiles(probability, quantile):
    assert normal_quantile(probability) == pytest.approx(quantile, rel=1e-14)
