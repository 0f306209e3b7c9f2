"""A run that tests start, stop and have go on, and what it writes when nothing happens to it."""

import json
import os
import signal
import time

import psutil
import pytest

SHARDS = 4
PATIENCE = 240


class Run:
    """One command, as often as it is started; its outputs lie in a folder, its work beside them.

    Attributes:
        output: The VCF.
        work: The work directory.
    """

    def __init__(self, folder, start, arguments, work=None, workers=("--workers", 1)):
        self.output = folder / "calls.vcf.gz"
        self.work = work or folder / "work"
        options = ("--gvcf", folder / "calls.g.vcf.gz", "--work-dir", self.work, *workers, "--json")
        self._start = start
        self._arguments = arguments(self.output, *options)

    def start_to_first_shard(self):
        """The process, stopped when a shard is finished and others are not, and all processes that belong to it."""
        started = self.start_to(lambda _: self.finished)
        assert len(self.finished) < SHARDS
        return started

    def start_to(self, reached):
        """The process, stopped when it has got so far, and all processes that belong to it."""
        process = self._start(self._arguments)
        leader = psutil.Process(process.pid)
        until = time.monotonic() + PATIENCE
        while not reached(leader):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGSTOP)
        return process, [leader, *leader.children(recursive=True)]

    def complete(self):
        """Runs it to its end; gives the number of shards that were found finished."""
        process = self._start(self._arguments)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        work = json.loads(out)["work"]
        assert work["totals"]["shards"] == SHARDS
        return work["resumed_shards"]

    @property
    def finished(self):
        """Markers of the finished shards."""
        return list(self.work.glob("calls/[!.]*.json"))

    @property
    def outputs(self):
        """Contents of the output files that are there."""
        return {path.name: path.read_bytes() for path in self.output.parent.glob("calls*")}


@pytest.fixture
def run(start_diffbio, call_arguments, tmp_path):
    """A run that has not been started."""
    (tmp_path / "out").mkdir()
    return Run(tmp_path / "out", start_diffbio, call_arguments)


@pytest.fixture(scope="session")
def uninterrupted(individual, tmp_path_factory):
    """What the command writes when nothing happens to it."""
    from diffbio_flows import call_variants

    folder = tmp_path_factory.mktemp("uninterrupted")
    cluster = folder / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    output, gvcf = folder / "calls.vcf.gz", folder / "calls.g.vcf.gz"
    files = {"reads": individual.reads, "reference": individual.reference, "output": output, "gvcf": gvcf}
    call_variants(**files, cluster=cluster, work_dir=folder / "work", keep_windows=False)
    written = {path.name: path.read_bytes() for path in folder.glob("calls*")}
    assert sorted(written) == ["calls.g.vcf.gz", "calls.g.vcf.gz.tbi", "calls.vcf.gz", "calls.vcf.gz.tbi"]
    return written
