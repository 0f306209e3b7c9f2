"""Communities of a graph by Leiden's algorithm (Traag et al. 2019, doi:10.1038/s41598-019-41695-z), and agreement."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln


def leiden(
    weights: Float[np.ndarray, "n n"], resolution: float = 1.0, starts: int | None = None
) -> Int[np.ndarray, "n"]:
    """Community of every node: of several runs, each looking at nodes in another order, that of the most modularity.

    Args:
        weights: Symmetric weights of edges.
        resolution: Larger gives more communities.
        starts: Number of runs; if None, ten, and fewer for graphs of hundreds of nodes, where they differ less.

    Returns:
        Numbers from 0, none left out.
    """
    if not weights.sum():
        return np.arange(len(weights))
    starts = starts or max(1, min(10, 2000 // len(weights)))
    runs = [_run(weights, resolution, np.random.default_rng(seed)) for seed in range(starts)]
    return max(runs, key=lambda community: modularity(weights, community, resolution))


def modularity(weights: Float[np.ndarray, "n n"], community: Int[np.ndarray, "n"], resolution: float = 1.0) -> float:
    """Part of the weight that lies within communities, less what would by chance."""
    inside = np.equal.outer(community, community)
    of_community = np.bincount(community, weights.sum(axis=1))
    return float(weights[inside].sum() / weights.sum() - resolution * ((of_community / weights.sum()) ** 2).sum())


def _run(weights: Float[np.ndarray, "n n"], resolution: float, generator: np.random.Generator) -> Int[np.ndarray, "n"]:
    """Passes, each from what the last one found, until one gains nothing."""
    community, best = np.arange(len(weights)), -np.inf
    while (found := modularity(weights, community, resolution)) > best + 1e-12:
        kept, best = community, found
        community = _pass(weights, community, resolution / weights.sum(), generator)
    return kept


def _pass(
    weights: Float[np.ndarray, "n n"], community: Int[np.ndarray, "n"], scale: float, generator: np.random.Generator
) -> Int[np.ndarray, "n"]:
    graph, of_node = weights.astype(float), np.arange(len(weights))
    while True:
        community = _move(graph, community, scale, generator)
        parts = _refine(graph, community, scale, generator)
        if len(np.unique(parts)) == len(graph):
            return _numbered(community[of_node])
        # Each part becomes a node, which starts in the community of its nodes.
        members = np.eye(parts.max() + 1)[parts]
        starts = np.zeros(parts.max() + 1, int)
        starts[parts] = community
        graph, of_node, community = members.T @ graph @ members, parts[of_node], _numbered(starts)


def adjusted_mutual_information(x: Int[np.ndarray, "n"], y: Int[np.ndarray, "n"]) -> float:
    """Mutual information of two labellings, 0 where it is that of chance and 1 where they are the same.

    Source: Vinh et al. 2010, Journal of Machine Learning Research 11, 2837; the mean of the entropies normalises.
    """
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    if 1 in table.shape and table.shape[0] == table.shape[1]:
        return 1.0
    size, rows, columns = table.sum(), table.sum(axis=1), table.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = table / size * np.log(size * table / np.outer(rows, columns))
    found = np.nansum(terms)
    expected = sum(_expected(row, column, size) for row in rows for column in columns)
    entropies = [-(part / size * np.log(part / size)).sum() for part in (rows, columns)]
    room = np.mean(entropies) - expected
    return float((found - expected) / room) if abs(room) > 1e-12 else 1.0


def _expected(row: float, column: float, size: float) -> float:
    """Mutual information that a pair of clusters has by chance, which is hypergeometric."""
    common = np.arange(max(1, row + column - size), min(row, column) + 1)
    if not len(common):
        return 0.0
    information = common / size * np.log(size * common / (row * column))
    chance = (
        gammaln(row + 1)
        + gammaln(column + 1)
        + gammaln(size - row + 1)
        + gammaln(size - column + 1)
        - gammaln(size + 1)
        - gammaln(common + 1)
        - gammaln(row - common + 1)
        - gammaln(column - common + 1)
        - gammaln(size - row - column + common + 1)
    )
    return float((information * np.exp(chance)).sum())


def _move(
    graph: Float[np.ndarray, "n n"], community: Int[np.ndarray, "n"], scale: float, generator: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Move nodes to the community that gains most modularity, until none gains."""
    community, degree = community.copy(), graph.sum(axis=1)
    weight = np.bincount(community, degree, minlength=len(graph) + 1)
    waiting = list(generator.permutation(len(graph)))
    queued = np.ones(len(graph), bool)
    while waiting:
        node = waiting.pop(0)
        queued[node] = False
        own = community[node]
        links = np.bincount(community, graph[node], minlength=len(weight))
        links[own] -= graph[node, node]
        weight[own] -= degree[node]
        gains = links - scale * degree[node] * weight
        empty = np.flatnonzero(np.bincount(community, minlength=len(weight)) == 0)[0]
        choices = np.unique(np.append(community[graph[node] > 0], (own, empty)))
        best = choices[np.argmax(gains[choices])]
        if gains[best] > gains[own] + 1e-12:
            community[node] = best
            others = np.flatnonzero((graph[node] > 0) & (community != best) & ~queued)
            queued[others] = True
            waiting += list(others)
        weight[community[node]] += degree[node]
    return _numbered(community)


def _refine(
    graph: Float[np.ndarray, "n n"], community: Int[np.ndarray, "n"], scale: float, generator: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Parts of communities that hang together: single nodes merged, within theirs, where that gains modularity."""
    degree, parts = graph.sum(axis=1), np.arange(len(graph))
    weight = degree.copy()
    for node in generator.permutation(len(graph)):
        if np.count_nonzero(parts == parts[node]) > 1:
            continue
        inside = community == community[node]
        rest = degree[inside].sum() - degree[node]
        if graph[node, inside].sum() - graph[node, node] < scale * degree[node] * rest:
            continue  # not well connected to its community
        links = np.bincount(parts[inside], graph[node, inside], minlength=len(graph))
        links[parts[node]] = 0
        gains = np.where(links > 0, links - scale * degree[node] * weight, -np.inf)
        best = int(np.argmax(gains))
        if gains[best] > 0:
            weight[best] += degree[node]
            weight[parts[node]] = 0
            parts[node] = best
    return _numbered(parts)


def _numbered(labels: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The same labelling by numbers from 0, none left out."""
    return np.unique(labels, return_inverse=True)[1].reshape(-1)
