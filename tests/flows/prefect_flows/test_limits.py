"""What a form may ask for is said by a file on the worker, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffbio_core.problems import InputError
from diffbio_flows.prefect_flows.limits import VARIABLE, DeploymentLimits


@pytest.fixture
def data(tmp_path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def limits(data) -> DeploymentLimits:
    return DeploymentLimits(roots=(data,), urls=("s3://bucket/windows",))


def test_paths_below_a_root_are_allowed_whether_there_or_not(limits, data):
    assert limits.path_problems({"reads": data / "a.bam", "folder": data, "model": "", "BED file": None}) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("data/a.bam", "is not a whole path"),
        ("~/a.bam", "is not a whole path"),
        ("file:///etc/passwd", "is not a whole path"),
        ("/etc/pass\0wd", "is not a whole path"),
        ("/etc/passwd", "lies outside the allowed folders"),
        ("{data}/../secret", "lies outside the allowed folders"),
        ("{data}/link", "lies outside the allowed folders"),
        ("{data}/link/deeper/still", "lies outside the allowed folders"),
        ("{data}-beside/a.bam", "lies outside the allowed folders"),
    ],
)
def test_other_paths_are_refused(limits, data, path, told):
    (data / "link").symlink_to(data.parent)
    (problem,) = limits.path_problems({"reads": path.format(data=data)})
    assert problem.subject == "reads"
    assert told in problem.what


def test_a_root_may_itself_be_a_link(tmp_path, data):
    (tmp_path / "shown").symlink_to(data)
    limits = DeploymentLimits(roots=(tmp_path / "shown",))
    assert limits.holds(tmp_path / "shown" / "a.bam")
    assert limits.holds(data / "a.bam")


def test_stores_are_below_a_root_or_an_allowed_url(limits, data):
    assert limits.store_problems("store", "s3://bucket/windows/x.zarr") == []
    assert limits.store_problems("store", "s3://bucket/windows") == []
    assert limits.store_problems("store", str(data / "x.zarr")) == []


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/other",
        "s3://bucket/windows-beside/x",
        "s3://bucket/windows/../other",
        "s3://bucket/windows/x::file:///etc",
        "simplecache::s3://bucket/windows/x",
        "file:///etc",
        "http://169.254.169.254/latest",
        "/etc/x.zarr",
        "x.zarr",
    ],
)
def test_other_stores_are_refused(limits, url):
    assert len(limits.store_problems("store", url)) == 1


def test_clusters_are_those_of_the_file(limits):
    assert limits.cluster_file("local") is None
    with pytest.raises(InputError, match="'tcp://evil:8786' is not a cluster of this worker"):
        limits.cluster_file("tcp://evil:8786")


def test_without_a_file_nothing_is_allowed():
    with pytest.raises(InputError, match="names no file, so that no path is allowed"):
        DeploymentLimits.from_environment({})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "roots: Field required"),
        ("roots = []", "roots"),
        ('roots = ["data"]', "must be a whole path"),
        ('roots = ["/"]\nroot = 1', "root: Extra inputs"),
        ("roots = [", "cannot be read as TOML"),
        ('roots = ["/"]\n[clusters]\nlocal = "/a.toml"', "not 'local'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, text, told):
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        DeploymentLimits.from_environment({VARIABLE: str(path)})
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_a_report_has_an_address_where_a_web_server_shows_it(data):
    limits = DeploymentLimits(roots=(data,), reports="http://127.0.0.1:4201/")
    assert limits.report_url(data / "a b" / "report.html") == "http://127.0.0.1:4201/a%20b/report.html"
    assert limits.report_url("/etc/report.html") is None
    assert DeploymentLimits(roots=(data,)).report_url(data / "report.html") is None
