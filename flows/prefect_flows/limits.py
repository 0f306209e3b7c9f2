"""What runs that others start through Prefect may touch.

It comes from a file on the worker's machine that an environment variable names. Nothing of it comes from Prefect's
server: whoever could change it there could lift every limit.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from diffbio_core.problems import InputError, Problem

VARIABLE = "DIFFBIO_DEPLOYMENT"
"""Environment variable of the worker that names the file."""

LOCAL = "local"
"""The cluster that needs no file: the cores of the worker's machine."""

_MOST_HOURS = 24.0 * 366


def _whole(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"must be a whole path, from / on, got {str(path)!r}")
    return path


def _name(name: str) -> str:
    if name == LOCAL or not name or not all(part.isalnum() for part in name.split("-")):
        raise ValueError(f"must be letters, digits and single dashes, and not {LOCAL!r}, got {name!r}")
    return name


WholePath = Annotated[Path, AfterValidator(_whole)]


class DeploymentLimits(BaseModel):
    """What a form may ask for.

    Attributes:
        roots: Folders that hold all files that may be read or written; links are followed before it is looked at.
        urls: Beginnings of URLs of window stores that may be read or written, such as ``s3://bucket/windows/``.
        clusters: Files as ``diffbio call --cluster`` takes them, by the name in the form.
        may_replace: Whether a form may have existing outputs replaced.
        most_workers: Worker processes on this machine at most.
        most_hours: Longest time limit of a run (h).
        retries: How often a run is tried again that a lost cluster or a full disk has ended.
        retry_seconds: Wait before that (s).
        reports: Address where a web server shows the first root, such as ``http://127.0.0.1:4201/``.

    Raises:
        ValueError: A field is out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    roots: tuple[WholePath, ...] = Field(min_length=1)
    urls: tuple[str, ...] = ()
    clusters: Mapping[Annotated[str, AfterValidator(_name)], WholePath] = {}
    may_replace: bool = False
    most_workers: int = Field(default=256, ge=1)
    most_hours: float = Field(default=168.0, gt=0, le=_MOST_HOURS)
    retries: int = Field(default=3, ge=0, le=50)
    retry_seconds: int = Field(default=300, ge=0, le=86_400)
    reports: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> DeploymentLimits:
        """Those of this process.

        Raises:
            InputError: No file is named, or it cannot be used.
        """
        path = environment.get(VARIABLE)
        if not path:
            remedy = "Set it on the worker to a TOML file with `roots = [...]`, as docs/prefect.md shows."
            raise InputError([Problem(VARIABLE, "names no file, so that no path is allowed", remedy)])
        try:
            entries: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**entries)
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise InputError([Problem(path, f"cannot be used ({told})", "Correct it on the worker.")]) from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise InputError([Problem(path, f"cannot be read as TOML ({why})", "Correct it on the worker.")]) from None

    def path_problems(self, fields: Mapping[str, str | os.PathLike[str] | None]) -> list[Problem]:
        """Which paths of a form are not whole, or lead out of the roots; None and empty ones are not given.

        Args:
            fields: Paths by what they are for.
        """
        problems = []
        for name, given in fields.items():
            path = os.fspath(given) if given is not None else ""
            if not path:
                continue
            if "\0" in path or not os.path.isabs(path):
                remedy = "Give the whole path, from / on: the worker has a folder of its own."
                problems.append(Problem(name, f"{path!r} is not a whole path", remedy))
            elif not self.holds(path):
                remedy = f"This worker may use {', '.join(map(str, self.roots))}."
                problems.append(Problem(name, f"{path} lies outside the allowed folders", remedy))
        return problems

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path lies in a root once every link and every ``..`` has been followed."""
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(os.path.realpath(root)) for root in self.roots)

    def store_problems(self, name: str, store: str) -> list[Problem]:
        """The same for a window store, which may be a URL."""
        if "://" not in store:
            return self.path_problems({name: store})
        # A chain of file systems (a::b) or a step upwards would lead elsewhere than it begins.
        plain = "::" not in store and ".." not in store.split("/")
        if plain and any(store == url or store.startswith(url.rstrip("/") + "/") for url in self.urls):
            return []
        remedy = f"This worker may use {', '.join(self.urls) or 'no URLs'}."
        return [Problem(name, f"{store} is not among the allowed URLs", remedy)]

    def cluster_file(self, name: str) -> Path | None:
        """The file of a cluster by its name; None for this machine's cores.

        Raises:
            InputError: It has no such cluster.
        """
        if name == LOCAL:
            return None
        if name not in self.clusters:
            remedy = f"This worker has {', '.join((LOCAL, *self.clusters))}."
            raise InputError([Problem("cluster", f"{name!r} is not a cluster of this worker", remedy)])
        return self.clusters[name]

    def report_url(self, report: str | os.PathLike[str]) -> str | None:
        """Where a browser finds a report; None where no web server shows it."""
        from urllib.parse import quote

        real, root = Path(os.path.realpath(report)), os.path.realpath(self.roots[0])
        if self.reports is None or not real.is_relative_to(root):
            return None
        return f"{self.reports.rstrip('/')}/{quote(real.relative_to(root).as_posix())}"


def cluster_choices(schema: dict[str, Any]) -> None:
    """Has a form offer the clusters of the machine that registers it."""
    names: list[str] = [LOCAL]
    if os.environ.get(VARIABLE):
        names += DeploymentLimits.from_environment().clusters
    schema["enum"] = names
