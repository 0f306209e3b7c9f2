"""``python -m diffbio_flows.prefect_flows.kubernetes_pool CLUSTER.toml LIMITS``: a work pool whose runs are pods.

Prints the pool's base job template, for ``prefect work-pool create diffbio --type kubernetes --base-job-template``. The
pods follow from the same description of a cluster that ``--cluster`` takes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from diffbio_cluster import ClusterConfig, ClusterConfigError
from diffbio_cluster.executors.kubernetes import pod_spec
from diffbio_flows.prefect_flows.limits import VARIABLE

_LEADER_MB = 1000  # the run's own process, which needs a quarter of it
_KEPT_SECONDS = 7 * 86400  # a finished job can be looked at for a week


def job_template(config: ClusterConfig, limits: str) -> dict[str, Any]:
    """Base job template of a work pool of type Kubernetes, a pod per run.

    A run with the cluster ``local`` works in its pod, which asks for a core and memory for each of the description's
    workers. As with processes, a run has no variable for a command, an environment or an image of its own.

    Args:
        config: Of kind ``kubernetes``.
        limits: Path, in the pod, of the file of limits.

    Raises:
        ClusterConfigError: The description is of another kind.
    """
    pods = config.kubernetes
    if pods is None:
        raise ClusterConfigError(f"a pool of pods needs a cluster of kind 'kubernetes', not {config.kind!r}")
    workers = config.workers or 1
    memory = {"memory": f"{workers * config.memory_mb + _LEADER_MB}M"}
    environment = {**config.environment, VARIABLE: limits}
    container = {
        "name": "prefect-job",
        "image": pods.image,
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        "resources": {"limits": memory, "requests": {"cpu": str(workers), **memory}},
    }
    metadata = {"namespace": pods.namespace, "generateName": "{{ name }}-", "labels": {}}
    # Prefect's worker refuses a pod without these two, which belong to the job and which Kubernetes leaves out.
    asked_by_prefect = {"parallelism": 1, "completions": 1}
    job = {
        "backoffLimit": 0,  # Prefect starts a run again, not Kubernetes
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
        "template": {"spec": {"restartPolicy": "Never", **asked_by_prefect, **pod_spec(pods, container)}},
    }
    named = {
        "title": "Name",
        "description": "Name of the run's job; image, command and environment are the pool's own",
        "type": "string",
    }
    return {
        "job_configuration": {
            "name": "{{ name }}",
            "namespace": pods.namespace,
            "job_manifest": {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job},
            "pod_watch_timeout_seconds": 600,
            "stream_output": True,
        },
        "variables": {"type": "object", "additionalProperties": False, "properties": {"name": named}},
    }


def main() -> int:
    """Prints the template that a description of a cluster asks for."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        template = job_template(ClusterConfig.from_file(sys.argv[1]), sys.argv[2])
    except (ClusterConfigError, OSError) as error:
        print(f"diffbio: {error}", file=sys.stderr)
        return 2
    print(json.dumps(template, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
