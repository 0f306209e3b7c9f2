import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators.base import (
    OperatorConfig,
    OperatorModule,
    TemperatureConfig,
    TemperatureOperator,
    initialisation_rngs,
)
from diffbio_core.typing import Batch, Element


class Doubling(OperatorModule):
    def apply(self, data, state, metadata, random_params=None, stats=None):
        return {**data, "doubled": 2 * data["x"]}, state, metadata


@pytest.mark.parametrize("strategy", ["vmap", "scan"])
def test_apply_batch_applies_to_every_sample_and_keeps_the_rest(strategy):
    operator = Doubling(OperatorConfig(batch_strategy=strategy))
    batch = Batch(
        [
            Element({"x": np.array([float(index)]), "y": np.array(index)}, {"s": np.array(index)}, {"n": index})
            for index in range(3)
        ]
    )

    result = operator(batch)

    assert result.data["doubled"].tolist() == [[0], [2], [4]]
    assert result.data["y"].tolist() == result.state["s"].tolist() == [0, 1, 2]
    assert result.metadata == ({"n": 0}, {"n": 1}, {"n": 2})


def test_an_operator_without_apply_says_so():
    with pytest.raises(NotImplementedError, match="OperatorModule has no apply"):
        OperatorModule(OperatorConfig()).apply({}, {}, None)


@pytest.mark.parametrize("learnable", [True, False])
def test_the_temperature_can_be_read_and_assigned_whether_learnable_or_not(learnable):
    operator = TemperatureOperator(TemperatureConfig(temperature=2.0, learnable_temperature=learnable))

    assert float(operator.temperature[...]) == float(operator._temperature) == 2.0
    operator.temperature[...] = 0.5
    assert float(operator._temperature) == 0.5
    assert bool(jax.tree.leaves(nnx.state(operator, nnx.Param))) is learnable


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_not_positive_and_finite_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive and finite"):
        TemperatureConfig(temperature=temperature)


def test_configurations_refuse_unknown_strategies_and_streams():
    with pytest.raises(ValueError, match="batch_strategy"):
        OperatorConfig(batch_strategy="loop")
    with pytest.raises(ValueError, match="stream_name"):
        OperatorConfig(stochastic=True)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6), st.floats(0.01, 10))
@settings(deadline=None)
def test_soft_max_lies_between_the_maximum_and_its_bound(values, temperature):
    operator = TemperatureOperator(TemperatureConfig(temperature=temperature))

    soft = float(operator.soft_max(jnp.asarray(values)))

    assert max(values) - 1e-3 <= soft <= max(values) + temperature * np.log(len(values)) + 1e-3


def test_soft_argmax_is_the_expected_index():
    operator = TemperatureOperator(TemperatureConfig(temperature=1e-3))

    assert operator.soft_argmax(jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).tolist() == [1, 2]
    assert float(operator.soft_argmax(jnp.zeros((5, 1)), axis=0)[0]) == pytest.approx(2)


def test_rngs_of_any_stream_initialise():
    keys = [initialisation_rngs(nnx.Rngs(seed=42)).params() for _ in range(2)]

    assert (jax.random.key_data(keys[0]) == jax.random.key_data(keys[1])).all()
    assert initialisation_rngs(None).params().shape == ()
