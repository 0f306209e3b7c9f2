"""Names of perturbations of several genes, such as A+B."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

DELIMITER = "+"
"""What stands between single perturbations where nothing else is said."""


def parts_of(name: str, delimiter: str, control: str) -> Sequence[str]:
    """Single perturbations of a name, the control left out."""
    return [part for part in name.split(delimiter) if part and part != control] if delimiter else [name]


def same_perturbations(names: Iterable[str], known: Iterable[str], control: str) -> dict[str, str]:
    """Further names of the same perturbations: B+A is A+B, and A with a control is A.

    Args:
        names: Names of perturbations.
        known: All names that there are.
        control: Label of controls.

    Returns:
        By each other name of one of them, which that is.
    """
    names = list(names)
    meant = {_key(name, control): name for name in names}
    return {
        other: meant[_key(other, control)]
        for other in known
        if other not in names and other != control and _key(other, control) in meant
    }


def _key(name: str, control: str) -> tuple[str, ...]:
    return tuple(sorted(part.strip() for part in parts_of(name, DELIMITER, control)))
