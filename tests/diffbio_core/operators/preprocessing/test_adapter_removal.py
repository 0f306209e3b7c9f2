import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.operators.preprocessing import AdapterRemovalConfig, SoftAdapterRemoval

ADAPTER = "AGATCGGAAGAG"


def one_hot(bases):
    return jnp.eye(4)[jnp.array(["ACGT".index(base) for base in bases])]


def trim(bases, **config):
    operator = SoftAdapterRemoval(AdapterRemovalConfig(**{"match_threshold": 0.8, **config}))
    data = {"sequence": one_hot(bases), "quality_scores": jnp.full(len(bases), 30.0), "name": "read"}
    return operator.apply(data, {}, None)[0]


def random_bases(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def test_a_whole_adapter_is_cut_off_with_what_follows():
    result = trim("C" * 20 + ADAPTER + "T" * 8)

    assert float(result["trim_position"]) == pytest.approx(20, abs=0.02)
    assert float(result["adapter_score"]) > 0.999
    assert (result["sequence"][:20].sum(axis=-1) > 0.99).all()
    assert (result["sequence"][20:].sum(axis=-1) < 0.01).all()
    assert result["name"] == "read"


@pytest.mark.parametrize("overlap", [8, 10])
def test_the_start_of_an_adapter_at_the_end_of_a_read_is_cut_off(overlap):
    result = trim("C" * 30 + ADAPTER[:overlap])

    assert float(result["trim_position"]) == pytest.approx(30, abs=0.2)


@pytest.mark.parametrize("seed", range(4))
def test_a_read_without_adapter_stays_as_it_is(seed):
    result = trim(random_bases(60, seed))

    assert float(result["adapter_score"]) < 0.05
    assert float(result["trim_position"]) > 58
    assert (result["sequence"].sum(axis=-1) > 0.95).all()


def test_one_wrong_base_in_the_adapter_is_forgiven():
    assert float(trim("C" * 20 + "AGATCTGAAGAG" + "C" * 10)["trim_position"]) == pytest.approx(20, abs=0.5)


def test_n_in_the_adapter_matches_any_base():
    result = trim("C" * 20 + "AGATCTGAAGAG", adapter_sequence="AGATCNGAAGAG")

    assert float(result["trim_position"]) == pytest.approx(20, abs=0.05)


@pytest.mark.parametrize("length", [1, 4, 6, 13])
def test_reads_shorter_than_the_adapter_pass(length):
    result = trim("C" * length)

    assert result["sequence"].shape == (length, 4)
    assert float(result["trim_position"]) == pytest.approx(length, abs=0.1)


@given(st.text("ACGT", min_size=30, max_size=30), st.floats(0.3, 1), st.floats(0.2, 5))
@settings(max_examples=20, deadline=None)
def test_what_is_kept_lies_in_0_to_1_and_never_rises_along_the_read(bases, threshold, temperature):
    operator = SoftAdapterRemoval(AdapterRemovalConfig(match_threshold=threshold, temperature=temperature))

    kept, score, _ = operator.trim(one_hot(bases))

    assert ((kept >= 0) & (kept <= 1)).all()
    assert (jnp.diff(kept) <= 1e-6).all()
    assert 0 <= float(score) <= 1


def test_a_higher_threshold_finds_fewer_adapters():
    read = one_hot("C" * 20 + "AGATCTGATGAG")
    scores = [
        float(SoftAdapterRemoval(AdapterRemovalConfig(match_threshold=threshold)).trim(read)[1])
        for threshold in (0.6, 0.75, 0.9)
    ]

    assert scores[0] > scores[1] > scores[2]


def test_threshold_and_temperature_are_learnable():
    read = one_hot("C" * 20 + "AGATCTGATGAG")

    gradients = jax.jit(jax.grad(lambda operator: operator.trim(read)[2]))(
        SoftAdapterRemoval(AdapterRemovalConfig(match_threshold=0.8))
    )

    assert float(gradients.match_threshold[...]) > 0
    assert float(gradients.temperature[...]) != 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"adapter_sequence": ""}, "adapter_sequence must be letters"),
        ({"adapter_sequence": "ACGU"}, "got 'ACGU'"),
        ({"match_threshold": 1.5}, "match_threshold must lie between 0 and 1"),
        ({"min_overlap": 0}, "min_overlap must be positive"),
    ],
)
def test_bad_configurations_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        AdapterRemovalConfig(**config)
