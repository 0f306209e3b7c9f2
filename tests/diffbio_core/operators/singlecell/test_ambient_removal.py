import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.singlecell import AmbientRemovalConfig, DifferentiableAmbientRemoval
from diffbio_core.operators.singlecell.contamination import pooled_contamination
from diffbio_core.sources.matrix import DenseCounts

GENES = 40


def contaminated(share: float, cells: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of two types that make other genes, with a share of soup; the soup's profile; the soup's counts."""
    random = np.random.default_rng(0)
    own = np.zeros((2, GENES))
    own[0, :25], own[1, 15:] = random.dirichlet(np.full(25, 2.0)), random.dirichlet(np.full(25, 2.0))
    profile = own.mean(axis=0)
    types = random.integers(0, 2, cells)
    native = random.poisson(1000 * (1 - share) * own[types])
    soup = random.poisson(1000 * share * profile, native.shape)
    return (native + soup).astype(np.float32), profile.astype(np.float32), soup.astype(np.float32)


COUNTS, PROFILE, SOUP = contaminated(0.15)
DATA = {"counts": jnp.asarray(COUNTS), "ambient_profile": jnp.asarray(PROFILE)}


def removal(**config) -> DifferentiableAmbientRemoval:
    settings = {"n_genes": GENES, "latent_dim": 3, "hidden_dims": [16, 8]} | config
    return DifferentiableAmbientRemoval(AmbientRemovalConfig(**settings))


def test_an_operator_without_a_fit_takes_off_little():
    result = removal(ambient_prior=0.01).apply({**DATA, "name": "x"}, {}, None)[0]

    np.testing.assert_allclose(result["contamination_fraction"], 0.01, rtol=0.2)
    fraction = result["contamination_fraction"][:, None]
    ambient = fraction * COUNTS.sum(axis=1, keepdims=True) * PROFILE
    np.testing.assert_allclose(result["decontaminated_counts"], np.maximum(COUNTS - ambient, 0), rtol=1e-4, atol=1e-3)
    native = jax.nn.softplus(removal(ambient_prior=0.01).decoder(result["latent"]))
    np.testing.assert_allclose(result["reconstructed"], (1 - fraction) * native + ambient, rtol=1e-4, atol=1e-3)
    assert result["name"] == "x"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_the_bound_of_a_group_is_its_contamination(share):
    counts, profile, _ = contaminated(share)

    np.testing.assert_allclose(pooled_contamination(DenseCounts(counts), profile).mean(), share, rtol=0.3)


def test_a_fit_finds_the_contamination_and_takes_it_off():
    fitted = removal().fit(DenseCounts(COUNTS), PROFILE, epochs=40, learning_rate=5e-3)

    result = fitted.apply(DATA, {}, None)[0]

    assert abs(float(result["contamination_fraction"].mean()) - 0.15) < 0.04
    before, after = SOUP.sum(), np.abs(result["decontaminated_counts"] - (COUNTS - SOUP)).sum()
    assert after < 0.7 * before


def test_cells_draw_each_for_itself_in_train_mode():
    operator = removal()
    operator.train_mode()
    result = operator.apply({**DATA, "counts": DATA["counts"][jnp.zeros(5, int)]}, {}, None, jax.random.key(0))[0]

    assert len(np.unique(np.asarray(result["latent"])[:, 0])) == 5


def test_gradients_reach_every_parameter():
    def loss(operator):
        result = operator.apply(DATA, {}, None)[0]
        return (result["reconstructed"] ** 2).mean() + result["decontaminated_counts"].mean()

    gradients = nnx.state(jax.jit(jax.grad(loss))(removal()), nnx.Param)

    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert (gradients["encoder"]["contamination_proj"]["kernel"][...] != 0).any()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("ambient_profile", 2 * PROFILE, "ambient_profile sums to 2, expected 1"),
        ("counts", -COUNTS, "0 or more"),
        ("counts", COUNTS[:, :-1], r"expected \(cells, 40\)"),
    ],
)
def test_what_cannot_be_is_told(key, value, told):
    with pytest.raises(ValueError, match=told):
        removal().apply({**DATA, key: value}, {}, None)


def test_no_hidden_layer_is_refused():
    with pytest.raises(ValueError, match="hidden_dims must be positive widths"):
        removal(hidden_dims=[])
