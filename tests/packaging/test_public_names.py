"""Every package says what is public, and has it."""

from importlib import import_module
from pkgutil import iter_modules, walk_packages
from types import ModuleType

import pytest

ROOTS = "diffbio_core", "diffbio_io", "diffbio_cluster", "diffbio_flows"


def packages():
    for root in ROOTS:
        yield root
        yield from (m.name for m in walk_packages(import_module(root).__path__, f"{root}.") if m.ispkg)


@pytest.mark.parametrize("name", list(packages()))
def test_every_public_name_resolves_and_none_is_hidden_by_a_module(name):
    package = import_module(name)
    names = package.__all__
    assert len(names) == len(set(names))
    assert set(names).isdisjoint(module.name for module in iter_modules(package.__path__))
    for each in names:
        if each == "__version__":
            continue
        found = getattr(package, each)
        assert not isinstance(found, ModuleType)
        assert found is getattr(package, each)


@pytest.mark.parametrize("name", list(packages()))
def test_a_name_that_is_not_there_is_told(name):
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'no_such_name'"):
        import_module(name).no_such_name  # noqa: B018


def test_packages_are_all_looked_at():
    assert {"diffbio_core.windows", "diffbio_io.store", "diffbio_cluster.executors", "diffbio_flows.runs"} <= set(
        packages()
    )
