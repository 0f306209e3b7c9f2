"""Groups of processes on real workers: they start together, are watched, and end with group or worker."""

import sys
import time

import psutil
import pytest

from diffbio_cluster import ClusterConfig, InProcessExecutor, open_executor
from diffbio_cluster.process_group import GroupBrokenError, ProcessGroup

WAIT = "from diffbio_cluster.process_group import end_with_worker; end_with_worker(); import time; time.sleep(600)"


def processes(marker):
    """Commands that hold a marker, of processes below this one."""
    return [p for p in psutil.Process().children(recursive=True) if p.is_running() and marker in " ".join(p.cmdline())]


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_group_is_done_when_all_its_processes_have_ended_well(tmp_path):
    def command(place, address):
        return [sys.executable, "-c", f"open({str(tmp_path)!r} + '/{place}', 'w').write({address!r})"]

    with ProcessGroup(InProcessExecutor(), "group", 2, command, tmp_path / "logs") as group:
        until(group.is_done)
    addresses = {(tmp_path / name).read_text() for name in "01"}
    assert len(addresses) == 1
    assert addresses.pop().startswith("127.0.0.1:")


def test_a_process_that_fails_is_told_and_the_others_are_gone_with_the_group(tmp_path):
    marker = str(tmp_path)

    def command(place, address):
        code = f"import sys; print('no such thing'); sys.exit(3)  # {marker}" if place else f"{WAIT}  # {marker}"
        return [sys.executable, "-c", code]

    with ProcessGroup(InProcessExecutor(), "group", 2, command, tmp_path / "logs") as group:
        with pytest.raises(GroupBrokenError, match="process 2 of group group ended with status 3") as told:
            until(group.is_done)
        assert told.value.place == 1
        assert processes(marker)
    assert not processes(marker)
    assert "no such thing" in (tmp_path / "logs" / "1.log").read_text()


def test_a_process_ends_with_its_worker(tmp_path):
    marker = str(tmp_path)

    def command(place, address):
        return [sys.executable, "-c", f"{WAIT}  # {marker}"]

    with (
        open_executor(ClusterConfig(workers=1)) as executor,
        ProcessGroup(executor, "group", 1, command, tmp_path / "logs") as group,
    ):
        until(lambda: processes(marker))
        assert not group.is_done()
        (process,) = processes(marker)
        process.parent().kill()
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
        with pytest.raises(GroupBrokenError, match="went with its worker"):
            until(group.is_done)
