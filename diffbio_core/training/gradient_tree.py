"""Sums in a fixed tree: whoever adds up which leaves, and in whatever order they come, the bits are the same.

Sums of floats depend on the order of addition. Here it is given by the leaves' places alone: a node of level ``n`` is
the sum of its two children of level ``n - 1``, the one with the lower place first, and the last node of a level that is
left without a sibling goes up as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

Value = TypeVar("Value")

Node = tuple[int, int]
"""Level, from 0 for leaves, and place among the nodes of the level."""


def split_leaves(leaves: int, parts: int) -> list[range]:
    """Runs of leaves, as even as can be, one for each part; fewer where there are fewer leaves than parts.

    Raises:
        ValueError: There is no leaf or no part.
    """
    if leaves < 1 or parts < 1:
        raise ValueError(f"leaves and parts must be positive, got {leaves} and {parts}")
    parts = min(parts, leaves)
    bounds = [leaves * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]


def sum_run(
    run: range, leaf: Callable[[int], Value], add: Callable[[Value, Value], Value], leaves: int
) -> dict[Node, Value]:
    """The largest nodes of the tree that lie within a run of leaves.

    Args:
        run: Places of leaves, one after the other.
        leaf: A leaf's value, asked for once for each, in order: only as many values are held as the tree has levels.
        add: Sum of two values.
        leaves: Leaves of the whole tree.
    """
    nodes: dict[Node, Value] = {}
    for place in run:
        nodes[0, place] = leaf(place)
        _raise((0, place), nodes, add, leaves)
    return nodes


def sum_nodes(parts: Sequence[Mapping[Node, Value]], add: Callable[[Value, Value], Value], leaves: int) -> Value:
    """The sum over all leaves, from what `sum_run` gave for runs that cover them.

    Raises:
        ValueError: Some leaves are missing.
    """
    nodes: dict[Node, Value] = {}
    for part in parts:
        for node in sorted(part):
            nodes[node] = part[node]
    level = 0
    while True:
        for node in sorted(node for node in nodes if node[0] == level):
            if node in nodes:
                _raise(node, nodes, add, leaves)
        if not any(node[0] > level for node in nodes):
            break
        level += 1
    if len(nodes) != 1 or next(iter(nodes)) != (_height(leaves), 0):
        raise ValueError(f"the parts do not cover {leaves} leaves: they come to nodes {sorted(nodes)}")
    return next(iter(nodes.values()))


def _raise(node: Node, nodes: dict[Node, Value], add: Callable[[Value, Value], Value], leaves: int) -> None:
    """Joins a node with its sibling, and their parent with its own, as far as siblings are there."""
    while node[0] < _height(leaves):
        level, place = node
        parent = level + 1, place // 2
        if place ^ 1 < _width(leaves, level):
            if (level, place ^ 1) not in nodes:
                return
            first, second = nodes.pop((level, place & ~1)), nodes.pop((level, place | 1))
            nodes[parent] = add(first, second)
        else:
            nodes[parent] = nodes.pop(node)
        node = parent


def _width(leaves: int, level: int) -> int:
    """Nodes of a level."""
    return -(-leaves // (1 << level))


def _height(leaves: int) -> int:
    """Level of the root."""
    return (leaves - 1).bit_length()
