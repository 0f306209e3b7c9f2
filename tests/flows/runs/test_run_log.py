"""The log that a run leaves in its work directory."""

import logging
from pathlib import Path

import pytest

from diffbio_cluster import TaskFailedError
from diffbio_flows import call_variants
from diffbio_flows.runs.run_log import LOGGER, run_log


def test_a_log_holds_versions_and_what_is_logged_meanwhile_and_goes_on(tmp_path):
    path = tmp_path / "run.log"
    for word in ("one", "two"):
        with run_log(path):
            LOGGER.info("step %s", word)
            logging.getLogger("distributed.nanny").warning("worker %s died", word)
        LOGGER.warning("not here")
    text = path.read_text()
    assert [line.split("diffbio: ")[1] for line in text.splitlines() if " step " in line] == ["step one", "step two"]
    assert text.count("distributed.nanny: worker") == 2
    assert text.count(" diffbio: diffbio ") == 2
    assert "not here" not in text


def test_a_record_that_cannot_be_written_stops_nothing(capsys):
    with run_log(Path("/dev/full")):
        LOGGER.info("lost")
    assert capsys.readouterr().err == ""


def test_a_run_that_fails_tells_where_its_log_is_and_logs_the_fault_in_full(individual, tmp_path, monkeypatch):
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    files = {"reads": individual.reads, "reference": individual.reference, "cluster": cluster}

    def fail(*_):
        raise TaskFailedError("writing VCF", "no")

    monkeypatch.setattr("diffbio_flows.runs.call.merge_calls", fail)
    with pytest.raises(TaskFailedError) as caught:
        call_variants(**files, output=tmp_path / "o.vcf.gz", region=("chr1:1-3000",), keep_windows=False)
    log = tmp_path / "o.vcf.gz.work" / "run.log"
    assert caught.value.__notes__ == [f"The run's log is {log}."]
    text = log.read_text()
    assert "call shards took" in text
    assert "the run ends: TaskFailedError: writing VCF: no\nTraceback" in text
