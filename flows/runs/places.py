"""Whether files can be made where a run is to put them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from diffbio_core.problems import InputError, Problem


def check_outputs(
    outputs: Sequence[str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str]], *, force: bool
) -> list[Problem]:
    """Whether each VCF can be made: its name, its folder, and what is there already."""
    problems = []
    taken = {Path(path).resolve() for path in inputs}
    for path in map(Path, outputs):
        if not path.name.endswith(".vcf.gz"):
            problems.append(Problem(str(path), "does not end in .vcf.gz", "VCF is written bgzipped: name it so."))
        if path.is_dir():
            problems.append(Problem(str(path), "is a folder", "Name a file."))
        elif path.resolve() in taken:
            problems.append(Problem(str(path), "is an input or another output of this run", "Name another file."))
        elif os.path.lexists(path) and not force:
            problems.append(Problem(str(path), "exists", "Name another file, or replace it with --force."))
        taken.add(path.resolve())
        problems += check_folder(path.parent, str(path))
    return problems


def check_whole_paths(parameters: BaseModel) -> None:
    """Refuses relative paths, for a run that somebody else starts in a folder of their own choice.

    Raises:
        InputError: With each path that is not whole.
    """
    remedy = "Give the whole path, from / on: it is looked for where the run happens to be started."
    relative = {name: value for name, value in parameters if isinstance(value, Path) and not value.is_absolute()}
    if relative:
        raise InputError([Problem(name, f"{path} is a relative path", remedy) for name, path in relative.items()])


def check_folder(folder: Path, subject: str) -> list[Problem]:
    """Whether a folder is there and files can be made in it."""
    if not folder.exists():
        return [Problem(subject, f"its folder {folder} does not exist", f"Make it: `mkdir -p {folder}`.")]
    if not folder.is_dir():
        what = "is not a folder" if folder == Path(subject).absolute() else f"{folder} is not a folder"
        return [Problem(subject, what, "Name another place.")]
    try:
        # Rights alone do not tell: a file system may be read-only, or full of files.
        with tempfile.TemporaryFile(dir=folder):
            return []
    except OSError as error:
        what = f"its folder {folder} cannot be written ({error.strerror})"
        return [Problem(subject, what, "Name a place that you may write to.")]


def check_new_folder(folder: Path) -> list[Problem]:
    """Whether a folder is there, or can be made, and files can be made in it."""
    return check_folder(nearest_folder(folder), str(folder))


def nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: where it would be made."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
