"""Which columns of a table a formula reads, told from its text before any of it is evaluated.

The `required_variables` of formulaic leave out what stands inside a stateful transform, as `age` in `scale(age)`, and
every column that is called like one of its functions, as `center`.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FormulaColumns:
    """What a formula reads.

    Attributes:
        by_factor: Columns by the text of the factor that reads them: {"scale(age)": {"age"}}.
        only_factors: Columns that stand nowhere but as the first argument of ``C()``, which makes a factor of numbers.
    """

    by_factor: dict[str, frozenset[str]]
    only_factors: frozenset[str]

    @property
    def used(self) -> list[str]:
        """All columns, in alphabetical order."""
        return sorted(frozenset().union(*self.by_factor.values()))


def formula_columns(terms: Iterable[Any], existing: Collection[str]) -> FormulaColumns:
    """Find the columns that terms read.

    Args:
        terms: Of formulaic.
        existing: Columns of the table; where a function has the same name, a value of that name is the column.

    Raises:
        ValueError: The terms read what is no column, or call what is no function; half a sentence that follows a
            formula.
    """
    from formulaic.transforms import TRANSFORMS

    factors = {factor.expr: factor.eval_method.value for term in terms for factor in term.factors}
    codes = {text: _code(text) for text, method in factors.items() if method == "python"}
    by_factor = {text: frozenset({text} if method == "lookup" else ()) for text, method in factors.items()}
    functions = {*TRANSFORMS, *dir(builtins)}
    for text, code in codes.items():
        by_factor[text] = frozenset(name for name in code.read if name in existing or name not in functions)
    used = frozenset().union(*by_factor.values())
    called = frozenset().union(*(code.called for code in codes.values()))
    missing, unknown, both = sorted(used - {*existing}), sorted(called - functions), sorted(called & used)
    if missing:
        raise ValueError(f"the sample table has no column {missing}; it has {list(existing)}")
    if unknown:
        raise ValueError(f"there is no function {unknown[0]!r}; there are {', '.join(sorted(map(str, TRANSFORMS)))}")
    if both:
        raise ValueError(f"column {both[0]!r} is called like the function {both[0]}(); give the column another name")
    made_factors = {text: {code.made_factor} for text, code in codes.items()}
    as_they_are = frozenset().union(*(names - made_factors.get(text, set()) for text, names in by_factor.items()))
    return FormulaColumns(by_factor, used - as_they_are)


@dataclass(frozen=True)
class _Code:
    """Names in a piece of Python: what it reads, what it calls, and what ``C()`` makes a factor of."""

    read: frozenset[str]
    called: frozenset[str]
    made_factor: str | None


def _code(text: str) -> _Code:
    spelled: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        name = f"quoted_column_{len(spelled)}_"
        spelled[name] = match[1]
        return name

    try:
        tree = ast.parse(re.sub("`([^`]+)`", stand_in, text).strip(), mode="eval").body
    except SyntaxError:
        return _Code(frozenset(), frozenset(), None)  # formulaic tells it better
    nodes = list(ast.walk(tree))
    callees = [node.func for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    # Of a lambda or a comprehension.
    local = {node.arg for node in nodes if isinstance(node, ast.arg)}
    local |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    read = {spelled.get(node.id, node.id) for node in names if node not in callees and node.id not in local}
    quoted = {column for node in nodes if (column := _quoted_by_function(node)) is not None}
    return _Code(
        frozenset(read | quoted), frozenset(node.id for node in callees) - local, _column_of_factor(tree, spelled)
    )


def _column_of_factor(tree: ast.AST, spelled: dict[str, str]) -> str | None:
    """``time`` of ``C(time)``."""
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "C" and tree.args):
        return None
    first = tree.args[0]
    return spelled.get(first.id, first.id) if isinstance(first, ast.Name) else _quoted_by_function(first)


def _quoted_by_function(node: ast.AST) -> str | None:
    """``a b`` of ``Q("a b")``."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Q" and node.args):
        return None
    first = node.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
