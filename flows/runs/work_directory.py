"""A run's own folder: what it was started with, and the shards that it has finished."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diffbio_core.problems import InputError, Problem
from diffbio_core.whole_file import put_in_place
from diffbio_flows.shards.commit import recorded_run
from diffbio_io.files.fingerprint import fingerprint
from diffbio_io.files.fresh_folder import fresh_folder
from diffbio_io.files.locks import locked
from diffbio_io.files.state import FileState

FORMAT = 1
Identity = Mapping[str, Any]


class WorkDirectory:
    """A folder that belongs to one run, so that the same command finds its work again.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    @property
    def calls(self) -> Path:
        """Folder with a file of calls and a marker per finished shard."""
        return self.path / "calls"

    @property
    def store(self) -> Path:
        """The window store."""
        return self.path / "windows.zarr"

    @property
    def scratch(self) -> Path:
        """Folder for what nobody needs after the run."""
        return self.path / "scratch"

    def aside(self, output: Path) -> Path:
        """Folder beside an output in which only this run makes it; named for both, so that a rerun finds it."""
        owner = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:12]
        return output.with_name(f".{output.name}.{owner}")

    @property
    def log(self) -> Path:
        """What every run here has logged."""
        return self.path / "run.log"

    @property
    def summary(self) -> Path:
        """The summary of the finished run, for scripts."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The summary of the finished run, for people."""
        return self.path / "report.html"

    @property
    def run_id(self) -> str:
        """What tells this folder's run from an earlier one in a folder of the same name; empty before it is claimed."""
        return recorded_run(self.path)

    def free(self) -> None:
        """Deletes what only an unfinished run needs.

        It loses its name first: a worker that has been given up may still write, and finds no folder to write to.
        """
        freed = self.scratch / self.calls.name
        self.calls.replace(freed)
        shutil.rmtree(freed, ignore_errors=True)

    @property
    def is_unfinished(self) -> bool:
        """Whether a run was started here and has not written its summary."""
        return (self.path / "run.json").exists() and not self.summary.exists()

    def problems(self, identity: Identity, *, anew: bool = False) -> list[Problem]:
        """Why a run of this identity may not use the folder; empty where it may. Writes nothing.

        Args:
            identity: Of the run.
            anew: Whether it may take the folder of an unfinished run of another identity.
        """
        if not self.path.exists():
            return []
        if not self.path.is_dir():
            return [Problem(str(self.path), "is not a folder", "Name another place.")]
        try:
            recorded = self._recorded()
        except (OSError, ValueError, KeyError) as error:
            what = f"its run.json cannot be read ({error})"
            return [Problem(str(self.path), what, "Choose another --work-dir, or remove this one.")]
        if recorded is None:
            foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in ("lock", "scratch"))
            if not foreign:
                return []
            what = f"is not a work directory: it holds {foreign[0]!r} but no run.json"
            return [Problem(str(self.path), what, "Choose another --work-dir.")]
        if anew and self.is_unfinished:
            return []
        remedy = "Repeat that run's command, choose another --work-dir, or remove this one."
        subject = f"work directory {self.path}"
        return [Problem(subject, f"belongs to another run: {line}", remedy) for line in differences(recorded, identity)]

    @contextmanager
    def claim(self, identity: Identity, *, anew: bool = False) -> Iterator[WorkDirectory]:
        """Holds the folder for one run at a time, creating it where needed.

        Args:
            identity: Of the run.
            anew: Whether what an unfinished run of another identity has left goes.

        Raises:
            InputError: Another process works here, or the folder belongs to another run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        remedy = "Wait for it, or choose another --work-dir."
        with locked(self.path / "lock", f"work directory {self.path}", remedy):
            problems = self.problems(identity, anew=anew)
            if problems:
                raise InputError(problems)
            recorded = self._recorded()
            if recorded is not None and differences(recorded, identity):
                # Shards first: what is left without them is no work of any run.
                for left in (self.calls, self.store):
                    shutil.rmtree(left, ignore_errors=True)
                (self.path / "run.json").unlink()
            with fresh_folder(self.scratch):
                if self._recorded() is None:
                    started = datetime.now(UTC).isoformat(timespec="seconds")
                    entries = {"format": FORMAT, "started": started, "id": uuid.uuid4().hex, **identity}
                    # Not aside in the folder itself: what a killed run left there would pass for somebody else's.
                    aside = self.scratch / "run.json"
                    aside.write_text(json.dumps(entries, indent=2))
                    put_in_place(aside, self.path / "run.json")
                self.summary.unlink(missing_ok=True)
                self.calls.mkdir(exist_ok=True)
                yield self

    def _recorded(self) -> dict[str, Any] | None:
        try:
            entries: dict[str, Any] = json.loads((self.path / "run.json").read_bytes())
        except FileNotFoundError:
            return None
        if entries.pop("format") != FORMAT:
            raise ValueError("it was written by another version of diffbio")
        for name in ("started", "id"):
            entries.pop(name, None)
        return entries


def differences(recorded: Identity, wanted: Identity) -> list[str]:
    """What differs between two runs, a line per entry, named by its path of keys."""
    old, new = dict(_flat(recorded)), dict(_flat(json.loads(json.dumps(wanted))))
    keys = [*new, *(key for key in old if key not in new)]
    return [
        f"{key} was {_shown(old.get(key))}, now {_shown(new.get(key))}" for key in keys if old.get(key) != new.get(key)
    ]


def file_identity(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What tells an input file from another or from its own later state, without reading it all."""
    state = FileState.of(path)
    # What is no file, such as a pipe, is told by the preflight, and reading it might wait for good.
    content = fingerprint(path) if Path(path).is_file() else ""
    return {
        "path": str(Path(path).resolve()),
        "size": state.size,
        "modified": state.modified,
        "fingerprint": content,
    }


def _flat(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
