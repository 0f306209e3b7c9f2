"""One description of where work runs, from which an executor is opened."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

Kind = Literal["in-process", "local", "local-gpu", "slurm", "kubernetes", "address"]

_MOST = 1_000_000_000
_ADDRESS = re.compile(r"((tcp|tls|ucx|wss?)://)?[^/]+:\d+")


class ClusterConfigError(ValueError):
    """A cluster description that cannot be used; the message says which key and what would be right."""


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"must look like tcp://host:8786, got {text!r}")
    return text


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TlsFiles(_Section):
    """PEM files for a scheduler that is reached by TLS, as ``distributed.security.Security`` takes them.

    Attributes:
        ca_file: Certificate of the authority that signed the scheduler's.
        cert: Own certificate.
        key: Its key; that of ``cert`` if not given.
    """

    ca_file: str
    cert: str
    key: str | None = None


class SlurmJobs(_Section):
    """What a worker's SLURM job asks for.

    Attributes:
        partition: Partition; the default one if not given.
        account: Account; the default one if not given.
        walltime: Longest run of a job, as ``sbatch --time`` takes it.
        cores: Cores of a job, each a worker process.
        gpus: GPUs of a job, each a worker process beside those of the cores.
        options: Further ``#SBATCH`` options, such as ``--constraint=a100``.
        prologue: Shell lines before the worker starts, such as ``module load cuda``.
        python: Interpreter on the nodes; this one if not given.
        interface: Network interface of workers and scheduler, such as ``ib0``.
    """

    partition: str | None = None
    account: str | None = None
    walltime: str = "24:00:00"
    cores: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    options: list[str] = []
    prologue: list[str] = []
    python: str | None = None
    interface: str | None = None


class KubernetesPods(_Section):
    """What a worker's pod looks like; the cluster must have dask-kubernetes' operator.

    Attributes:
        name: Of the DaskCluster resource.
        image: Container image with diffbio installed.
        namespace: Where the pods run.
        gpus: GPUs of a pod of the GPU workers; none are made if 0.
        gpu_workers: Pods with GPUs.
        volumes: Persistent volume claims by the path that they are mounted at: all see the same files.
        service_account: Of the pods; the namespace's own if not given.
    """

    name: str = Field(default="diffbio", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    image: str
    namespace: str = "default"
    gpus: Literal[0, 1] = 0
    gpu_workers: int = Field(default=1, ge=1)
    volumes: dict[str, str] = {}
    service_account: str | None = None


class ClusterConfig(_Section):
    """Where shards are processed.

    Attributes:
        kind: ``in-process`` (this process, for tests and debugging), ``local`` (a process per core of this machine),
            ``local-gpu`` (a process per GPU of this machine, and CPU workers beside them), ``slurm`` and
            ``kubernetes`` (jobs and pods), or ``address`` (the workers of a Dask scheduler that is already running).
        workers: CPU worker processes, or jobs or pods of them; None takes every core that this process may use, and
            one job or pod.
        memory_mb: Memory that each thread of a CPU worker is expected to stay under (MB); a local one has one thread.
        gpus: Ids of the GPUs to use with kind ``local-gpu``; None takes all that this process may use.
        threads_per_gpu: Threads of a GPU worker, which read ahead so that the device does not wait.
        address: Of the running scheduler, such as ``tcp://10.0.0.1:8786``; only with kind ``address``.
        tls: Files for a scheduler that is reached by TLS; only with kind ``address``.
        slurm: Jobs; only with kind ``slurm``.
        kubernetes: Pods; only with kind ``kubernetes``, which needs it.
        worker_timeout: Seconds without any live worker after which a run gives up.
        allowed_failures: How many workers may die over one task before the task is given up.
        patience: Seconds below which no task is late; one that is, and takes far longer than its like, is given to
            another worker as well.
        scratch: Folder for the workers' own files; None takes the system's temporary folder.
        environment: Variables set in each worker before it imports JAX, over the defaults.

    Raises:
        ClusterConfigError: A value is out of range, or does not belong to the kind; names every fault.
    """

    kind: Kind = "local"
    workers: int | None = Field(default=None, ge=1, le=_MOST)
    memory_mb: int = Field(default=1500, ge=1, le=_MOST)
    gpus: list[str] | None = Field(default=None, min_length=1)
    threads_per_gpu: int = Field(default=4, ge=1)
    address: Annotated[str, AfterValidator(_address)] | None = None
    tls: TlsFiles | None = None
    slurm: SlurmJobs | None = None
    kubernetes: KubernetesPods | None = None
    worker_timeout: float = Field(default=60.0, gt=0)
    allowed_failures: int = Field(default=2, ge=0, le=_MOST)
    patience: float = Field(default=30.0, gt=0)
    scratch: str | None = None
    environment: dict[str, str] = {}

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ClusterConfigError("; ".join(_told(entry) for entry in error.errors())) from None

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if (self.kind == "address") != (self.address is not None):
            raise ValueError("an address belongs to kind 'address', and that kind needs one")
        if self.kind == "kubernetes" and self.kubernetes is None:
            raise ValueError("kind 'kubernetes' needs a section [kubernetes] with the image of its pods")
        for name, kind in {"tls": "address", "slurm": "slurm", "kubernetes": "kubernetes", "gpus": "local-gpu"}.items():
            if getattr(self, name) is not None and self.kind != kind:
                raise ValueError(f"{name} belongs to kind {kind!r}, not {self.kind!r}")
        if self.gpus is not None and len(set(self.gpus)) < len(self.gpus):
            raise ValueError(f"gpus must differ from one another, got {', '.join(self.gpus)}")
        if any(not name or "=" in name or "\0" in name + value for name, value in self.environment.items()):
            raise ValueError("environment has a name or a value that no variable can have")
        if "\0" in (self.scratch or ""):
            raise ValueError("scratch must be the name of a folder")
        return self

    @property
    def local_workers(self) -> int:
        """CPU worker processes on this machine; 1 in process, 0 where the workers are another machine's."""
        if self.kind == "in-process":
            return 1
        if self.kind not in ("local", "local-gpu"):
            return 0
        return self.workers or len(os.sched_getaffinity(0))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ClusterConfig:
        """Reads a TOML file whose keys are this class's attributes.

        Raises:
            ClusterConfigError: The file is missing, not TOML, or has an unknown key or a value of another type.
        """
        try:
            if Path(path).exists() and not Path(path).is_file():
                raise OSError(0, "it is a folder, a pipe or a device")
            entries: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        # Besides its own error: text that is not UTF-8, numbers and nesting without end.
        except (OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ClusterConfigError(f"{path}: cannot be read as TOML: {why}") from error
        try:
            return cls(**entries)
        except ClusterConfigError as error:
            raise ClusterConfigError(f"{path}: {error}") from error

    @classmethod
    def of(cls, workers: int | None, scheduler: str | None, cluster: str | os.PathLike[str] | None) -> ClusterConfig:
        """The cluster that the options of a run describe: a running scheduler's, a file's, or this machine's.

        Args:
            workers: Worker processes; those of the file, or one per core, if None.
            scheduler: Address of a running Dask scheduler.
            cluster: File, see `from_file`.

        Raises:
            ClusterConfigError: The file is faulty, or two clusters are described.
        """
        if scheduler is not None:
            if cluster is not None or workers is not None:
                raise ClusterConfigError("a scheduler's address goes with neither a cluster file nor workers")
            return cls(kind="address", address=scheduler)
        config = cls.from_file(cluster) if cluster is not None else cls()
        return config if workers is None else config.with_workers(workers)

    def with_workers(self, workers: int) -> ClusterConfig:
        """The same cluster with another number of workers."""
        return self._but(workers=workers)

    def with_scratch(self, folder: str | os.PathLike[str]) -> ClusterConfig:
        """The same cluster with its workers' files in ``folder``, unless another one was chosen."""
        return self if self.scratch else self._but(scratch=str(folder))

    def _but(self, **fields: Any) -> ClusterConfig:
        return ClusterConfig(**{name: getattr(self, name) for name in self.model_fields_set} | fields)


_KNOWN: Mapping[str, type[BaseModel]] = {"tls": TlsFiles, "slurm": SlurmJobs, "kubernetes": KubernetesPods}


def _told(entry: Any) -> str:
    """One fault in our words: which key, what is wrong, what would be right."""
    path = [str(part) for part in entry["loc"]]
    name, value, kind = ".".join(path), entry["input"], entry["type"]
    limits = entry.get("ctx", {})
    if kind == "extra_forbidden":
        section = _KNOWN[path[0]] if len(path) > 1 else ClusterConfig
        return f"unknown key {name!r}; known keys are {', '.join(sorted(section.model_fields))}"
    if kind == "value_error":
        text = str(limits["error"])
        return f"{name} {text}" if name else text
    if kind == "missing":
        return f"{name} is missing"
    if kind == "literal_error":
        choices = ", ".join(get_args(Kind)) if name == "kind" else limits["expected"]
        return f"{name} must be one of {choices}, got {value!r}"
    if kind in ("greater_than_equal", "greater_than"):
        bound = "at least" if kind == "greater_than_equal" else "more than"
        return f"{name} must be {bound} {next(iter(limits.values())):g}, got {value!r}"
    what = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "string_type": "text",
        "dict_type": "a table",
        "list_type": "a list",
        "model_type": "a table",
        "model_attributes_type": "a table",
        "too_short": "a list that is not empty",
    }.get(kind)
    return f"{name} must be {what}, got {value!r}" if what else f"{name}: {entry['msg']}, got {value!r}"
