import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators import DifferentiableQualityFilter, QualityFilterConfig

QUALITIES = st.lists(st.floats(0, 60), min_size=1, max_size=8)


def test_each_base_is_multiplied_by_the_sigmoid_of_its_margin():
    operator = DifferentiableQualityFilter(QualityFilterConfig(initial_threshold=30.0))
    data = {"sequence": jnp.ones((3, 4)), "quality_scores": jnp.array([28.0, 30.0, 33.0]), "name": "read"}

    result, state, metadata = operator.apply(data, {"s": 1}, {"m": 2})

    assert np.allclose(result["sequence"][:, 0], 1 / (1 + np.exp([2.0, 0.0, -3.0])))
    assert result["quality_scores"] is data["quality_scores"]
    assert (result["name"], state, metadata) == ("read", {"s": 1}, {"m": 2})


@given(QUALITIES, st.floats(0, 60), st.floats(0.1, 20))
@settings(deadline=None)
def test_retention_lies_in_0_to_1_and_falls_as_the_threshold_rises(qualities, threshold, step):
    quality = jnp.asarray(qualities)
    low = DifferentiableQualityFilter(QualityFilterConfig(initial_threshold=threshold)).retention(quality)
    high = DifferentiableQualityFilter(QualityFilterConfig(initial_threshold=threshold + step)).retention(quality)

    assert ((low >= 0) & (low <= 1) & (high <= low)).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"sequence": np.ones((3, 4))}, r"missing: \['quality_scores'\]"),
        (
            {"sequence": np.ones((3, 5)), "quality_scores": np.ones(3)},
            r"sequence has shape \(3, 5\), expected \(length, 4\)",
        ),
        (
            {"sequence": np.ones((3, 4)), "quality_scores": np.ones(2)},
            r"quality_scores has shape \(2,\), expected \(length=3,\)",
        ),
        (
            {"sequence": np.ones((2, 4)), "quality_scores": np.array([1, np.nan])},
            r"quality_scores of shape \(2,\) has 1 NaN, first at \(1,\)",
        ),
        (3, "got int"),
    ],
)
def test_bad_input_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        DifferentiableQualityFilter(QualityFilterConfig()).apply(data, {}, None)


def test_a_threshold_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="initial_threshold must be finite"):
        QualityFilterConfig(initial_threshold=float("nan"))
