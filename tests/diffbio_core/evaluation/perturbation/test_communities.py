import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diffbio_core.evaluation.perturbation.clustering import clustering_agreement, groups_of
from diffbio_core.evaluation.perturbation.communities import adjusted_mutual_information, leiden, modularity


def ring_of_cliques(cliques, size):
    graph = np.zeros((cliques * size, cliques * size))
    for clique in range(cliques):
        nodes = slice(clique * size, (clique + 1) * size)
        graph[nodes, nodes] = 1
        ends = clique * size, ((clique + 1) % cliques) * size + 1
        graph[ends[0], ends[1]] = graph[ends[1], ends[0]] = 1
    np.fill_diagonal(graph, 0)
    return graph


def test_cliques_in_a_ring_are_its_communities():
    found = leiden(ring_of_cliques(5, 6))

    assert adjusted_mutual_information(found, np.repeat(np.arange(5), 6)) == pytest.approx(1)


@given(arrays(float, (7, 7), elements=st.sampled_from([0.0, 0.0, 0.5, 1.0])))
def test_no_move_of_one_node_gains_modularity(weights):
    graph = np.triu(weights, 1)
    graph = graph + graph.T
    found = leiden(graph, starts=3)
    if not graph.sum():
        assert found.tolist() == list(range(7))
        return
    best = modularity(graph, found)
    for node in range(7):
        for community in range(found.max() + 2):
            moved = found.copy()
            moved[node] = community
            assert modularity(graph, moved) <= best + 1e-9


def test_agreement_is_1_for_the_same_0_by_chance_and_scikit_learns_between():
    x, y = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 2, 2, 2])

    assert adjusted_mutual_information(x, (x + 1) % 3) == pytest.approx(1)
    # scikit-learn's adjusted_mutual_info_score
    assert adjusted_mutual_information(x, y) == pytest.approx(0.5023607027202738)
    assert adjusted_mutual_information(np.zeros(4, int), np.zeros(4, int)) == 1
    generator = np.random.default_rng(0)
    chance = [adjusted_mutual_information(*generator.integers(0, 3, (2, 60))) for _ in range(200)]
    assert np.mean(chance) == pytest.approx(0, abs=0.01)


def test_groups_of_means_agree_with_themselves_and_are_not_told_of_few_or_equal_ones():
    generator = np.random.default_rng(0)
    means = np.repeat(np.eye(3) * 5, 8, axis=0) + generator.normal(0, 0.1, (24, 3))
    groups = groups_of(means)

    assert adjusted_mutual_information(groups, np.repeat(np.arange(3), 8)) == pytest.approx(1)
    assert clustering_agreement(groups, means) == pytest.approx(1)
    assert np.isnan(clustering_agreement(groups, np.ones((24, 3))))
    assert np.isnan(clustering_agreement(groups[:3], means[:3]))
