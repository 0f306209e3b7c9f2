"""Each group of kernels is compiled by one process, and the others wait for it."""

import fcntl
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

from diffbio_core.calling.call_stage import CallStage
from diffbio_core.candidates.views import ROW_BUCKETS
from diffbio_core.reads import slippage
from diffbio_core.reads.thinning import IntervalReads
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_core.windows.packing import shard_interval
from diffbio_flows.shards import kernels
from diffbio_flows.shards.kernels import GROUPS, LEADER_GROUPS, are_compiled, compile_kernels, programs


def test_every_group_is_compiled_once_and_nobody_goes_on_before_all_are(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    done: list[str] = []
    both = threading.Barrier(2)

    def first():
        both.wait(timeout=60)
        done.append("first")

    def second():
        both.wait(timeout=60)
        done.append("second")

    def worker(_):
        compile_kernels({"first": first, "second": second})
        return sorted(done)

    # The barrier lets neither group end before the other has begun, which one worker alone could not do.
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(worker, range(2))) == [["first", "second"]] * 2
    assert worker(0) == ["first", "second"]


def test_a_group_that_fails_is_left_to_the_next_process(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    done: list[int] = []

    def fails():
        done.append(1)
        raise RuntimeError

    for _ in range(2):
        try:
            compile_kernels({"group": fails})
        except RuntimeError:
            continue
    assert done == [1, 1]


def test_what_is_compiled_is_noted_for_each_state_of_the_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not are_compiled()
    compile_kernels(dict.fromkeys(GROUPS, lambda: None))
    assert are_compiled()


def test_the_groups_run_on_nothing_at_all():
    for group in GROUPS.values():
        group()
    assert slippage._count.signatures
    assert set(LEADER_GROUPS) < set(GROUPS)


def test_no_kernel_is_compiled_again_for_reads():
    grid, shard = WindowGrid(*kernels.GRID), Shard("1", 0, 0, 1)
    interval = shard_interval(shard, grid, grid.reference_length, 0)
    kinds = [field.dtype for field in vars(kernels.no_reads(interval)).values()]
    assert kinds == [field.dtype for field in vars(IntervalReads.none(interval)).values()]


def test_what_another_process_compiles_is_left_to_it_where_nobody_waits(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    done: list[int] = []
    with (tmp_path / "first.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compile_kernels({"first": partial(done.append, 1), "second": partial(done.append, 2)}, wait=False)
    assert done == [2]


def test_garbage_is_collected_again_once_a_group_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    seen: list[bool] = []
    compile_kernels({"group": lambda: seen.append(gc.isenabled())})
    assert seen == [False]
    assert gc.isenabled()


def test_a_model_is_compiled_for_every_number_of_rows_that_a_view_may_have(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    compiled: list[int] = []

    class Stage:
        compile = staticmethod(compiled.append)

    for _ in range(2):
        compile_kernels(programs(cast("CallStage", Stage()), "a" * 64, ROW_BUCKETS))
    assert compiled == list(ROW_BUCKETS)
    compile_kernels(programs(cast("CallStage", Stage()), "b" * 64, ROW_BUCKETS))
    assert compiled == 2 * list(ROW_BUCKETS)


def test_a_process_that_hangs_while_it_compiles_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernels, "_PATIENCE", 0.2)
    done: list[int] = []
    with (tmp_path / "group.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compile_kernels({"group": partial(done.append, 1)})
    assert done == [1]
