"""jaxtyping's shapes and types, checked at run time in whatever a test calls."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

from beartype import beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

PACKAGES = tuple(
    f"diffbio_core.{folder}."
    for folder in (
        *("calling", "candidates", "losses", "metrics", "models", "operators", "pipelines", "reads"),
        *("samplers", "simulation", "sources", "splitters", "training", "utils", "windows"),
    )
)
"""Where annotations hold in every test."""

# Numba compiles a function as it stands, and so cannot take one that is wrapped in a check.
_KERNEL = re.compile(rb"^\s*@numba\.", re.MULTILINE)
_ARRAY = re.compile(r"\b(Shaped|Bool|Num|Inexact|Real|Float|Complex|Integer|UInt|Int|Key)\d*\[")


def check_shapes() -> None:
    """Has every function with annotations of arrays checked from now on, but for modules with compiled kernels."""
    sys.meta_path.insert(0, _Finder())


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises `TypeCheckError` where it works on arrays that its annotations do not allow.

    What it refuses itself, it refuses with its own message.
    """
    strict = jaxtyped(function, typechecker=_of_arrays)

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return strict(*arguments, **options)
        except TypeCheckError as error:
            if not hasattr(error, "accepted"):
                function(*arguments, **options)
                error.accepted = True
            raise

    return call


def _of_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its annotations of arrays checked; those of other types are pyright's."""
    function.__annotations__ = {
        name: hint if name == "return" else _of_either(hint)
        for name, hint in function.__annotations__.items()
        if _ARRAY.search(hint if isinstance(hint, str) else repr(hint))
    }
    return beartype(function)


def _of_either(hint: Any) -> Any:
    """The hint with arrays of NumPy and of JAX alike: the functions of both take those of the other."""
    import jax
    import numpy as np

    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(map(_of_either, get_args(hint)))]  # noqa: UP007
    if isinstance(hint, type) and issubclass(hint, AbstractArray) and hint.array_type in (jax.Array, np.ndarray):
        return hint.dtype[jax.Array, hint.dim_str] | hint.dtype[np.ndarray, hint.dim_str]
    return hint


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path, target) if name.startswith(PACKAGES) else None
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _Loader(name, found.loader.path)
        return found


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        # Past the cache of byte code, which holds the module as it stands.
        return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data: bytes, path: str, **options: Any) -> Any:
        if _KERNEL.search(data):
            return super().source_to_code(data, path, **options)
        return compile(_Decorating().visit(ast.parse(data, path)), path, "exec", dont_inherit=True)


class _Decorating(ast.NodeTransformer):
    """Puts `checked` innermost on functions with annotations of arrays."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg)
        hints = [node.returns, *(argument.annotation for argument in arguments if argument)]
        if any(_ARRAY.search(ast.unparse(hint)) for hint in hints if hint):
            decorator = ast.parse("__import__('tests.shape_checks').shape_checks.checked", mode="eval").body
            node.decorator_list.append(ast.fix_missing_locations(ast.copy_location(decorator, node)))
        return node
