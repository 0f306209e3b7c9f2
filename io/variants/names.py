"""Names that a VCF can hold (VCF 4.3, section 1.4.7)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from diffbio_core.problems import Problem

_CONTIG = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")


def nameable_contigs(contigs: Mapping[str, int]) -> dict[str, int]:
    """Those contigs that a VCF's header can name."""
    return {name: length for name, length in contigs.items() if _CONTIG.fullmatch(name)}


def unnameable_contigs(
    contigs: Iterable[str], reference: str | os.PathLike[str], *, called: bool = False
) -> tuple[Problem, ...]:
    """A word about contigs whose names have a character that would make a VCF unreadable, such as a comma.

    Args:
        contigs: Names.
        reference: The file that names them.
        called: Whether they are to be called, which then cannot be; others are left out of the VCF's header.
    """
    names = [name for name in contigs if not _CONTIG.fullmatch(name)]
    if not names:
        return ()
    told = f"{names[0]!r}" + (f" and {len(names) - 1} more contigs" if len(names) > 1 else "")
    if called:
        what = f"names {told} with characters that no VCF can hold, and reads lie there"
        return (Problem(str(reference), what, "Call others with --region, or rename it here and in the reads."),)
    what = f"names {told} with characters that no VCF can hold: the header of the output leaves them out"
    return (Problem(str(reference), what, "Rename them where that matters."),)
