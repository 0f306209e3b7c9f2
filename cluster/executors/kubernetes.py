"""A Dask cluster whose workers are pods, by the operator of dask-kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffbio_cluster import steady_clock
from diffbio_cluster.config import ClusterConfig, ClusterConfigError, KubernetesPods
from diffbio_cluster.environment import gpu_worker_environment, worker_environment
from diffbio_cluster.executors.clusters import GPU

if TYPE_CHECKING:
    from dask_kubernetes.operator import KubeCluster

PORTS = {"tcp-comm": 8786, "http-dashboard": 8787}


def open_kubernetes_cluster(config: ClusterConfig) -> KubeCluster:
    """Creates the resource that a description of kind ``kubernetes`` asks for; it is deleted with the cluster.

    Raises:
        ClusterConfigError: dask-kubernetes is not installed.
    """
    try:
        from dask_kubernetes.operator import KubeCluster
    except ImportError as error:
        needed = "pip install 'diffbio-core[kubernetes]'"
        raise ClusterConfigError(f"kind 'kubernetes' needs dask-kubernetes: {needed}") from error
    manifest, *groups = manifests(config)
    cluster = KubeCluster(
        custom_cluster_spec=manifest,
        namespace=manifest["metadata"]["namespace"],
        resource_timeout=round(config.worker_timeout),
        quiet=True,
    )
    for group in groups:
        # The group's name follows from the cluster's.
        cluster.add_worker_group(name=GPU.lower(), custom_spec=group["spec"]["worker"])
    return cluster


def manifests(config: ClusterConfig) -> list[dict[str, Any]]:
    """The ``DaskCluster`` with its CPU workers, and a ``DaskWorkerGroup`` of GPU workers where there are some.

    Raises:
        ClusterConfigError: The description is of another kind.
    """
    pods = config.kubernetes
    if pods is None:
        raise ClusterConfigError(f"pods belong to kind 'kubernetes', not {config.kind!r}")
    metadata = {"name": pods.name, "namespace": pods.namespace}
    version = "kubernetes.dask.org/v1"
    cluster = {
        "apiVersion": version,
        "kind": "DaskCluster",
        "metadata": metadata,
        "spec": {
            "worker": {
                "replicas": config.workers or 1,
                "spec": pod_spec(pods, _worker(config, pods, ["--nthreads", "1"], worker_environment())),
            },
            "scheduler": {"spec": pod_spec(pods, _scheduler(pods)), "service": _service(pods)},
        },
    }
    if not pods.gpus:
        return [cluster]
    threads = config.threads_per_gpu
    arguments = ["--nthreads", str(threads), "--resources", f"{GPU}=1"]
    container = _worker(config, pods, arguments, gpu_worker_environment(None, threads))
    container["resources"]["limits"]["nvidia.com/gpu"] = "1"
    container["resources"]["requests"]["cpu"] = str(threads)
    group = {
        "apiVersion": version,
        "kind": "DaskWorkerGroup",
        "metadata": {**metadata, "name": f"{pods.name}-{GPU.lower()}"},
        "spec": {"cluster": pods.name, "worker": {"replicas": pods.gpu_workers, "spec": pod_spec(pods, container)}},
    }
    return [cluster, group]


def pod_spec(pods: KubernetesPods, container: dict[str, Any]) -> dict[str, Any]:
    """A pod of one container, which the volumes are mounted in."""
    names = {path: f"files-{number}" for number, path in enumerate(sorted(pods.volumes))}
    container["volumeMounts"] = [{"name": name, "mountPath": path} for path, name in names.items()]
    pod: dict[str, Any] = {
        "containers": [container],
        "volumes": [
            {"name": name, "persistentVolumeClaim": {"claimName": pods.volumes[path]}} for path, name in names.items()
        ],
    }
    if pods.service_account is not None:
        pod["serviceAccountName"] = pods.service_account
    return pod


def _worker(
    config: ClusterConfig, pods: KubernetesPods, arguments: list[str], environment: Mapping[str, str]
) -> dict[str, Any]:
    memory = {"memory": f"{config.memory_mb}M"}
    return {
        "name": "worker",
        "image": pods.image,
        # The operator sets both variables; a worker's name is that of its pod.
        "args": ["dask", "worker", "--name", "$(DASK_WORKER_NAME)", "--no-dashboard", *arguments],
        "env": [
            {"name": name, "value": value} for name, value in sorted({**environment, **config.environment}.items())
        ],
        "resources": {"limits": dict(memory), "requests": {"cpu": "1", **memory}},
    }


def _scheduler(pods: KubernetesPods) -> dict[str, Any]:
    return {
        "name": "scheduler",
        "image": pods.image,
        "args": ["dask", "scheduler", "--host", "0.0.0.0", "--preload", steady_clock.__name__],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in PORTS.items()],
        "readinessProbe": {"tcpSocket": {"port": "tcp-comm"}, "initialDelaySeconds": 2, "periodSeconds": 5},
    }


def _service(pods: KubernetesPods) -> dict[str, Any]:
    return {
        "type": "ClusterIP",
        "selector": {"dask.org/cluster-name": pods.name, "dask.org/component": "scheduler"},
        "ports": [{"name": name, "protocol": "TCP", "port": port, "targetPort": name} for name, port in PORTS.items()],
    }
