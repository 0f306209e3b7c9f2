"""The states of a run's input files, which go with every task so that no worker takes another file for them."""

from __future__ import annotations

import os
from pathlib import Path

from diffbio_io.alignments.index_file import find_index
from diffbio_io.files.state import FileState


def input_states(
    reads: Path, reference: Path, folder: Path | None = None, model: Path | None = None
) -> tuple[FileState, ...]:
    """States of the files that shards are made of, indexes included, by whole paths; links are not resolved.

    Args:
        reads: BAM or CRAM.
        reference: FASTA.
        folder: Where the reference's index may be instead of beside it.
        model: Model directory.

    Raises:
        OSError: One cannot be looked at.
    """
    index = find_index(reads)
    found = [reads, *([] if index is None else [index.path]), reference]
    places = [reference, *([] if folder is None else [folder / reference.name])]
    found += [path for place in places for path in _beside(place) if path.exists()]
    states = tuple(FileState.of(os.path.abspath(path)) for path in found)
    return states if model is None else states + model_states(model)


def model_states(model: Path) -> tuple[FileState, ...]:
    """States of a model's files.

    Raises:
        OSError: One cannot be looked at.
    """
    return tuple(FileState.of(os.path.abspath(model / name)) for name in ("card.json", "parameters.safetensors"))


def _beside(fasta: Path) -> tuple[Path, Path]:
    return fasta.with_name(f"{fasta.name}.fai"), fasta.with_name(f"{fasta.name}.gzi")
