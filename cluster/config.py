"""One description of where work runs, from which an executor is opened."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

Kind = Literal["in-process", "local", "address"]

_ADDRESS = re.compile(r"((tcp|tls|ucx|wss?)://)?[^/]+:\d+")


class ClusterConfigError(ValueError):
    """A cluster description that cannot be used; the message says which key and what would be right."""


@dataclass(frozen=True)
class ClusterConfig:
    """Where shards are processed.

    Attributes:
        kind: ``in-process`` (this process, for tests and debugging), ``local`` (a process per core of this machine) or
            ``address`` (the workers of a Dask scheduler that is already running).
        workers: Worker processes of a local cluster; None takes every core that this process may use.
        memory_mb: Memory that one worker is expected to stay under (MB).
        address: Of the running scheduler, such as ``tcp://10.0.0.1:8786``; only with kind ``address``.
        worker_timeout: Seconds without any live worker after which a run gives up.
        allowed_failures: How many workers may die over one task before the task is given up.
        scratch: Folder for the workers' own files; None takes the system's temporary folder.
        environment: Variables set in each worker before it imports JAX, over the defaults.

    Raises:
        ClusterConfigError: A value is out of range, or kind and address do not belong together.
    """

    kind: Kind = "local"
    workers: int | None = None
    memory_mb: int = 1500
    address: str | None = None
    worker_timeout: float = 60.0
    allowed_failures: int = 2
    scratch: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ClusterConfigError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        for name in ("workers", "memory_mb", "allowed_failures"):
            value = getattr(self, name)
            if (not isinstance(value, int) or isinstance(value, bool)) and (name, value) != ("workers", None):
                raise ClusterConfigError(f"{name} must be a whole number, got {value!r}")
        if self.workers is not None and self.workers < 1:
            raise ClusterConfigError(f"workers must be at least 1, got {self.workers}")
        if self.memory_mb < 1:
            raise ClusterConfigError(f"memory_mb must be positive, got {self.memory_mb}")
        if self.allowed_failures < 0:
            raise ClusterConfigError(f"allowed_failures must not be negative, got {self.allowed_failures}")
        if not isinstance(self.worker_timeout, int | float) or not self.worker_timeout > 0:
            raise ClusterConfigError(
                f"worker_timeout must be a positive number of seconds, got {self.worker_timeout!r}"
            )
        for name in ("address", "scratch"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise ClusterConfigError(f"{name} must be text, got {value!r}")
        if not isinstance(self.environment, Mapping) or not all(isinstance(v, str) for v in self.environment.values()):
            raise ClusterConfigError(f"environment must be a table of texts, got {self.environment!r}")
        if (self.kind == "address") != (self.address is not None):
            raise ClusterConfigError("an address belongs to kind 'address', and that kind needs one")
        if self.address is not None and not _ADDRESS.fullmatch(self.address):
            raise ClusterConfigError(f"address must look like tcp://host:8786, got {self.address!r}")

    @property
    def local_workers(self) -> int:
        """Worker processes on this machine; 1 in process, 0 where the workers are another machine's."""
        if self.kind == "address":
            return 0
        if self.kind == "in-process":
            return 1
        return self.workers or len(os.sched_getaffinity(0))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ClusterConfig:
        """Reads a TOML file whose keys are this class's attributes.

        Raises:
            ClusterConfigError: The file is missing, not TOML, or has an unknown key or a value of another type.
        """
        try:
            entries: dict[str, Any] = tomllib.loads(Path(path).read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ClusterConfigError(f"{path}: cannot be read as TOML: {why}") from error
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(entries.keys() - known)
        if unknown:
            raise ClusterConfigError(f"{path}: unknown key {unknown[0]!r}; known keys are {', '.join(sorted(known))}")
        try:
            return cls(**entries)
        except (TypeError, ValueError) as error:
            raise ClusterConfigError(f"{path}: {error}") from error

    def with_workers(self, workers: int) -> ClusterConfig:
        """The same cluster with another number of workers."""
        return replace(self, workers=workers)

    def with_scratch(self, folder: str | os.PathLike[str]) -> ClusterConfig:
        """The same cluster with its workers' files in ``folder``, unless another one was chosen."""
        return self if self.scratch else replace(self, scratch=str(folder))
