"""Names of outputs that differ from run to run: ``{sample}.{date}.vcf.gz``."""

from __future__ import annotations

import string
from collections.abc import Mapping

from diffbio_core.problems import InputError, Problem

FIELDS = ("sample", "date", "run")
"""The run's sample, the day that it was scheduled for (UTC, 2026-11-26), and its name on Prefect's page."""


def fill_name(template: str, values: Mapping[str, str]) -> str:
    """A template with its fields filled in; it may name folders, but none above the one that it is taken in.

    Args:
        template: Such as ``{sample}/{date}.vcf.gz``.
        values: By name of the field, see `FIELDS`.

    Raises:
        InputError: It has an unknown field, a value that cannot be part of a file's name, or leads elsewhere.
    """
    remedy = f"Use {', '.join(f'{{{name}}}' for name in FIELDS)}, as in {{sample}}.{{date}}.vcf.gz."
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InputError([Problem("name", f"{template!r} is not a template ({error})", remedy)]) from None
    filled = ""
    for text, field, form, conversion in parts:
        filled += text
        if field is None:
            continue
        if field not in values or form or conversion:
            raise InputError([Problem("name", f"{template!r} has the unknown field {{{field}}}", remedy)])
        if not is_file_name(values[field]):
            what = f"the {field} {values[field]!r} cannot be part of a file's name"
            raise InputError([Problem("name", what, f"Leave {{{field}}} out, or give another {field}.")])
        filled += values[field]
    if not all(is_file_name(part) for part in filled.split("/")):
        what = f"{filled!r} is not a name below the folder"
        raise InputError([Problem("name", what, "Name a file, without .. and hidden folders.")])
    return filled


def is_file_name(name: str) -> bool:
    """Whether this can be a file's or folder's name that is neither hidden nor leads elsewhere."""
    return bool(name) and name.isprintable() and "/" not in name and not name.startswith(".")
