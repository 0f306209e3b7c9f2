"""The pool whose runs are pods, through Prefect's own worker up to the manifest that it would send to Kubernetes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
import warnings

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun

from diffbio_cluster import ClusterConfig, ClusterConfigError
from diffbio_cluster.config import KubernetesPods
from diffbio_flows.prefect_flows.here import prefect
from diffbio_flows.prefect_flows.kubernetes_pool import job_template

PODS = KubernetesPods(image="registry/diffbio:1", namespace="lab", volumes={"/data": "genomes"}, service_account="runs")
CONFIG = ClusterConfig(kind="kubernetes", workers=8, memory_mb=900, kubernetes=PODS, environment={"A": "b"})
LIMITS = "/data/limits.toml"

ASKED_BY_PREFECT = [".spec.template.spec.completions", ".spec.template.spec.parallelism"]
"""Prefect's worker refuses a job without them, and Kubernetes leaves them out."""


def unknown_fields(value, kind: str, client, place: str = "") -> list[str]:
    """Fields that a type of Kubernetes' API does not have, which its server prunes without a word."""
    if match := re.fullmatch(r"list\[(.*)\]", kind):
        return [fault for one in value for fault in unknown_fields(one, match[1], client, place)]
    if match := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return [fault for name in value for fault in unknown_fields(value[name], match[1], client, f"{place}.{name}")]
    if not hasattr(client, kind):
        wanted = {"str": str, "int": int, "bool": bool}.get(kind, object)
        return [] if isinstance(value, wanted) else [f"{place} is no {kind}"]
    model = getattr(client, kind)
    names = {alias: name for name, alias in model.attribute_map.items()}
    return [f"{place}.{alias}" for alias in value if alias not in names] + [
        fault
        for alias, inner in value.items()
        if alias in names
        for fault in unknown_fields(inner, model.openapi_types[names[alias]], client, f"{place}.{alias}")
    ]


@pytest.fixture(scope="module")
def sent():
    """The manifest of a run's job, as the worker would send it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker = pytest.importorskip("prefect_kubernetes.worker", reason="prefect-kubernetes is not installed")
    from prefect.utilities.templating import apply_values

    values = apply_values(job_template(CONFIG, LIMITS)["job_configuration"], {"name": None}, remove_notset=True)
    job = worker.KubernetesWorkerJobConfiguration(**values)
    job.prepare_for_flow_run(FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), name="brave-otter"))
    return job.job_manifest


@pytest.mark.slow
def test_a_run_becomes_a_job_that_kubernetes_takes(sent):
    from kubernetes_asyncio import client

    assert sorted(unknown_fields(sent, "V1Job", client)) == ASKED_BY_PREFECT
    assert (sent["metadata"]["namespace"], sent["metadata"]["generateName"]) == ("lab", "brave-otter-")
    pod = sent["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment["DIFFBIO_DEPLOYMENT"] == LIMITS
    assert environment["A"] == "b"
    assert "PREFECT__FLOW_RUN_ID" in environment
    assert container["image"] == "registry/diffbio:1"
    assert container["args"][0:2] == ["prefect", "flow-run"]
    assert container["resources"]["requests"] == {"cpu": "8", "memory": "8200M"}
    assert container["volumeMounts"] == [{"name": "files-0", "mountPath": "/data"}]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "genomes"
    assert pod["serviceAccountName"] == "runs"


@pytest.mark.slow
def test_a_misspelt_field_would_be_told(sent):
    from kubernetes_asyncio import client

    faulty = json.loads(json.dumps(sent))
    faulty["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    faulty["spec"]["backoffLimit"] = "0"
    assert sorted(unknown_fields(faulty, "V1Job", client)) == [
        ".spec.backoffLimit is no int",
        *ASKED_BY_PREFECT[:1],
        ".spec.template.spec.containers.imagee",
        *ASKED_BY_PREFECT[1:],
    ]


@pytest.mark.slow
def test_the_server_takes_the_pool_and_lets_no_run_bring_a_command_of_its_own(site, tmp_path):
    cluster = tmp_path / "pods.toml"
    cluster.write_text('kind = "kubernetes"\nworkers = 2\n[kubernetes]\nimage = "registry/diffbio:1"\n')
    command = [sys.executable, "-m", "diffbio_flows.prefect_flows.kubernetes_pool", str(cluster), LIMITS]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    template = tmp_path / "template.json"
    template.write_text(made.stdout)
    create = ["work-pool", "create", "pods", "--type", "kubernetes", "--base-job-template", str(template)]
    prefect(create, site.environment)
    pool = site.ask("GET", "work_pools/pods")
    assert pool["base_job_template"] == json.loads(made.stdout)
    flow = site.ask("GET", "deployments/name/call/on-demand")["flow_id"]
    deployment = {"name": "in-pods", "flow_id": flow, "work_pool_name": "pods"}
    with pytest.raises(httpx.HTTPStatusError, match=r"422|409"):
        site.ask("POST", "deployments/", json=deployment | {"job_variables": {"command": "false"}})
    site.ask("POST", "deployments/", json=deployment)


def test_a_cluster_of_another_kind_is_refused():
    with pytest.raises(ClusterConfigError, match="a pool of pods needs a cluster of kind 'kubernetes', not 'local'"):
        job_template(ClusterConfig(), LIMITS)
