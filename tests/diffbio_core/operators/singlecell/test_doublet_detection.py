import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diffbio_core.operators.singlecell import (
    DifferentiableDoubletScorer,
    DifferentiableSoloDetector,
    DoubletScorerConfig,
    SoloDetectorConfig,
)
from diffbio_core.operators.singlecell.simulated_doublets import simulated_doublets
from diffbio_core.sources.matrix import DenseCounts
from tests.diffbio_core.cell_samples import typed_counts

SINGLETS, TYPES = typed_counts(cells=120, genes=30, types=3, depth=400.0)
FIRST, OTHER = (np.flatnonzero(kind == TYPES)[:10] for kind in (0, 1))
COUNTS = np.concatenate([SINGLETS, SINGLETS[FIRST] + SINGLETS[OTHER]])
IS_DOUBLET = np.arange(130) >= 120


def scorer(**config) -> DifferentiableDoubletScorer:
    settings = {"n_genes": 30, "n_neighbors": 10, "n_pca_components": 8, "expected_doublet_rate": 0.08} | config
    return DifferentiableDoubletScorer(DoubletScorerConfig(**settings))


def ranked_above(scores: np.ndarray) -> float:
    """Share of pairs of a doublet and a singlet in which the doublet scores higher."""
    scores = np.asarray(scores)
    return float((scores[IS_DOUBLET][:, None] > scores[~IS_DOUBLET]).mean())


def test_doublets_of_different_types_score_highest():
    result = scorer().apply({"counts": jnp.asarray(COUNTS), "name": "x"}, {}, None)[0]

    assert ranked_above(result["doublet_scores"]) > 0.9
    assert ((result["predicted_doublets"] >= 0) & (result["predicted_doublets"] <= 1)).all()
    assert result["name"] == "x"


def test_scores_are_the_odds_of_the_share_of_simulated_neighbours():
    scores = np.asarray(scorer().apply({"counts": jnp.asarray(COUNTS)}, {}, None)[0]["doublet_scores"])

    # 10 neighbours among the cells are 30 with two simulated doublets a cell.
    shares = (np.arange(31) + 1) / 32
    possible = shares * 0.08 / 2 / (1 - 0.08 - shares * (1 - 0.08 - 0.08 / 2))
    assert np.abs(scores[:, None] - possible).min(axis=1).max() < 1e-5


def test_scores_follow_the_key():
    first, again, other = (
        scorer().apply({"counts": jnp.asarray(COUNTS)}, {}, None, key)[0]["doublet_scores"]
        for key in (None, jax.random.key(0), jax.random.key(1))
    )

    assert (first == again).all()
    assert not (first == other).all()


def test_scores_have_gradients_to_counts():
    def total(counts):
        return scorer().apply({"counts": counts}, {}, None)[0]["doublet_scores"].sum()

    gradient = jax.jit(jax.grad(total))(jnp.asarray(COUNTS))

    assert jnp.isfinite(gradient).all()
    assert (gradient != 0).any()


def test_simulated_doublets_are_sums_of_two_different_cells():
    cells = jnp.asarray(2.0 ** np.arange(5))[:, None]

    doublets = np.asarray(simulated_doublets(jax.random.key(0), cells, 200))[:, 0].astype(int)

    assert {bin(doublet).count("1") for doublet in doublets} == {2}
    assert len(set(doublets)) == 10


def test_a_fitted_solo_tells_doublets():
    detector = DifferentiableSoloDetector(
        SoloDetectorConfig(n_genes=30, latent_dim=4, hidden_dims=[16], classifier_hidden_dim=16)
    )
    losses = detector.compute_solo_loss(jnp.asarray(COUNTS), jax.random.key(0), classifier_weight=2.0)
    assert float(losses["total_loss"]) == pytest.approx(float(losses["elbo"] + 2 * losses["classifier_loss"]), rel=1e-5)

    detector.fit(DenseCounts(COUNTS), epochs=60, learning_rate=5e-3)

    result = detector.apply({"counts": jnp.asarray(COUNTS)}, {}, None)[0]
    assert ranked_above(result["doublet_probabilities"]) > 0.8
    assert ((result["doublet_probabilities"] > 0.5) == result["doublet_labels"].astype(bool)).all()
    assert result["latent"].shape == (130, 4)
    assert "classifier_hidden" in nnx.state(detector, nnx.Param)


@pytest.mark.parametrize(
    ("counts", "told"), [(COUNTS[:2], "needs three cells at least, got 2"), (-COUNTS, "0 or more")]
)
def test_what_cannot_be_scored_is_told(counts, told):
    with pytest.raises(ValueError, match=told):
        scorer().apply({"counts": counts}, {}, None)
