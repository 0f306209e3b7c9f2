"""Runs that something happens to: what they say, what they leave, and that the same command goes on from there."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

SHARDS = 8
LAST = "chr8"
PATIENCE = 240


@dataclass
class Run:
    """One command, as often as it is started.

    Attributes:
        folder: Where its output goes.
        data: Folder of its input.
        work: Its work directory.
        command: How the command starts.
    """

    folder: Path
    data: Path
    work: Path
    command: tuple[str, ...]
    processes: list[psutil.Process] = field(default_factory=list)

    def start(self) -> subprocess.Popen:
        """Starts it in a process group of its own."""
        files = ("--reads", self.data / "reads.bam", "--reference", self.data / "reference.fa.gz")
        outputs = ("--output", self.folder / "calls.vcf.gz", "--gvcf", self.folder / "calls.g.vcf.gz")
        options = ("--work-dir", self.work, "--workers", 1, "--json")
        return subprocess.Popen(
            [*self.command, "call", *map(str, (*files, *outputs, *options))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start_to_first_shard(self) -> subprocess.Popen:
        """Starts it, and waits until a shard is finished and others are not."""
        process = self.start()
        until = time.monotonic() + PATIENCE
        while not self.finished:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.01)
        return process

    def complete(self) -> dict:
        """Runs it to its end, and gives its summary."""
        process = self.start()
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        return json.loads(out)

    @property
    def finished(self) -> set[str]:
        """Shards that are finished."""
        return {path.stem for path in self.work.glob("calls/*.json") if not path.name.startswith(".")}

    @property
    def outputs(self) -> dict[str, bytes]:
        """Contents of the files in the output folder, the work directory apart."""
        return {path.name: path.read_bytes() for path in self.folder.glob("calls*") if path.is_file()}


@pytest.fixture(scope="session")
def uninterrupted(simulated, tmp_path_factory, command):
    """What a run writes that nothing happens to."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    run = Run(folder, simulated, folder / "work", command)
    summary = run.complete()
    assert (summary["resumed_shards"], summary["totals"]["shards"]) == (0, SHARDS)
    assert sorted(run.outputs) == ["calls.g.vcf.gz", "calls.g.vcf.gz.tbi", "calls.vcf.gz", "calls.vcf.gz.tbi"]
    return run.outputs


@pytest.fixture
def run(simulated, tmp_path, command):
    """A run that has not been started."""
    return Run(tmp_path, simulated, tmp_path / "work", command)


def ended(process):
    """Exit status and lines of a process that is about to end; none of its children may stay."""
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    return process.returncode, [line for line in err.splitlines() if "diffbio: " in line], out


def family(process):
    """The process and all that it started."""
    leader = psutil.Process(process.pid)
    return [leader, *leader.children(recursive=True)]


def test_a_run_that_is_killed_goes_on_where_it_was(run, uninterrupted):
    process = run.start_to_first_shard()
    members = family(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert psutil.wait_procs(members, timeout=30)[1] == []
    finished = run.finished
    assert 0 < len(finished) < SHARDS
    assert run.outputs == {}
    summary = run.complete()
    assert (summary["resumed_shards"], summary["totals"]["shards"]) == (len(finished), SHARDS)
    assert run.outputs == uninterrupted


def test_an_interrupt_ends_the_run_in_order_and_keeps_its_work(run, uninterrupted):
    process = run.start_to_first_shard()
    members = family(process)
    # As a terminal does it: to every process of the group.
    os.killpg(process.pid, signal.SIGINT)
    status, lines, _ = ended(process)
    assert status == 1
    assert lines[-1] == "diffbio: interrupted; finished work is kept, the same command goes on from there"
    assert psutil.wait_procs(members, timeout=30)[1] == []
    assert 0 < len(run.finished) < SHARDS
    assert run.outputs == {}
    assert run.complete()["resumed_shards"] > 0
    assert run.outputs == uninterrupted


def test_a_worker_that_dies_is_replaced(run, uninterrupted):
    process = run.start_to_first_shard()
    workers = [member for member in family(process)[1:] if "spawn_main" in " ".join(member.cmdline())]
    workers[0].kill()
    status, _, out = ended(process)
    assert status == 0
    assert json.loads(out)["totals"]["shards"] == SHARDS
    assert run.outputs == uninterrupted


def test_a_damaged_block_ends_the_run_with_shard_and_cause(run, simulated, tmp_path, uninterrupted):
    run.data = shutil.copytree(simulated, tmp_path / "data")
    reads = run.data / "reads.bam"
    good = reads.read_bytes()
    # Far behind what the check of the input reads, and within the last contig.
    bad = bytearray(good)
    at = len(good) * 97 // 100
    bad[at : at + 100] = bytes(byte ^ 0x55 for byte in bad[at : at + 100])
    times = reads.stat().st_atime_ns, reads.stat().st_mtime_ns
    reads.write_bytes(bytes(bad))
    os.utime(reads, ns=times)
    status, lines, out = ended(run.start())
    assert (status, out) == (1, "")
    assert lines[-1].startswith(f"diffbio: shard {LAST}.000000: ")
    assert "block at byte" in lines[-1]
    assert lines[-1].endswith("remove the cause and give the same command again to go on.")
    assert run.outputs == {}
    assert len(run.finished) == SHARDS - 1
    reads.write_bytes(good)
    os.utime(reads, ns=times)
    assert run.complete()["resumed_shards"] == SHARDS - 1
    assert run.outputs == uninterrupted


def test_a_full_disk_ends_the_run_with_shard_and_cause(run, tiny_disk, uninterrupted):
    run.work = tiny_disk("64m") / "work"
    process = run.start_to_first_shard()
    filler = run.work.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC
                size //= 2
    status, lines, out = ended(process)
    assert (status, out) == (1, "")
    assert "No space left on device" in lines[-1]
    assert lines[-1].startswith("diffbio: shard chr")
    assert run.outputs == {}
    assert 0 < len(run.finished) < SHARDS
    filler.unlink()
    assert run.complete()["resumed_shards"] > 0
    assert run.outputs == uninterrupted


def test_a_run_refuses_a_work_directory_that_another_is_using(run, diffbio):
    process = run.start_to_first_shard()
    second = run.start()
    status, lines, _ = ended(second)
    assert status == 2
    assert "another run is working in it" in lines[-1]
    assert ended(process)[0] == 0
