"""Manifests against the operator's own schema."""

from __future__ import annotations

from importlib.resources import files

import jsonschema
import pytest
import yaml

from diffbio_cluster import ClusterConfig, ClusterConfigError
from diffbio_cluster.config import KubernetesPods
from diffbio_cluster.executors.kubernetes import manifests

PODS = KubernetesPods(image="registry/diffbio:1", volumes={"/data": "genomes"}, gpus=1, gpu_workers=3)
CONFIG = ClusterConfig(kind="kubernetes", workers=4, memory_mb=900, kubernetes=PODS, environment={"A": "b"})


def schema(kind: str) -> dict:
    pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")
    chart = files("dask_kubernetes.operator") / "deployment/helm/dask-kubernetes-operator/crds"
    text = chart.joinpath(f"{kind.lower()}.yaml").read_text()
    (version,) = yaml.safe_load(text)["spec"]["versions"]
    return closed(version["schema"]["openAPIV3Schema"])


def closed(schema: dict) -> dict:
    """The schema with unknown fields refused, as the server prunes them without a word."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = schema.get("x-kubernetes-preserve-unknown-fields", False)
        for value in schema.values():
            closed(value)
    elif isinstance(schema, list):
        for value in schema:
            closed(value)
    return schema


def test_what_is_asked_for_fits_the_operators_schema():
    cluster, group = manifests(CONFIG)
    for manifest in (cluster, group):
        jsonschema.validate({"spec": manifest["spec"]}, schema(manifest["kind"]))
    assert (cluster["spec"]["worker"]["replicas"], group["spec"]["worker"]["replicas"]) == (4, 3)


def test_the_schema_would_tell_a_misspelt_field():
    cluster, _ = manifests(CONFIG)
    cluster["spec"]["worker"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        jsonschema.validate({"spec": cluster["spec"]}, schema("DaskCluster"))


def test_gpu_pods_ask_for_one_device_and_tell_dask_of_it():
    _, group = manifests(CONFIG)
    (container,) = group["spec"]["worker"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["args"][-2:] == ["--resources", "GPU=1"]
    assert group["spec"]["cluster"] == "diffbio"


def test_every_worker_has_its_environment_and_sees_the_same_files():
    for manifest in manifests(CONFIG):
        (container,) = manifest["spec"]["worker"]["spec"]["containers"]
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment["A"] == "b"
        assert environment["OMP_NUM_THREADS"] == "1"
        assert container["volumeMounts"] == [{"name": "files-0", "mountPath": "/data"}]
        assert container["resources"]["limits"]["memory"] == "900M"


def test_another_kind_has_no_manifests():
    with pytest.raises(ClusterConfigError, match="pods belong to kind 'kubernetes', not 'local'"):
        manifests(ClusterConfig())
