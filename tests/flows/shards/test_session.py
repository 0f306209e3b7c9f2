"""Threads of a process each have their own files and memory; a worker that lives on takes no old file for a new one."""

import gzip
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import jax
import pysam
import pytest
from flax import nnx

from diffbio_cluster import InProcessExecutor, TaskFailedError
from diffbio_core.models import default_model_path, load_model, save_model
from diffbio_flows import call_variants
from diffbio_flows.reports.progress import Silence
from diffbio_flows.runs.layout import index_reference
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.plan import plan_call
from diffbio_flows.runs.steps import Work, process_shards
from diffbio_flows.shards.commit import RunOverError, check_wanted, commit_shard, shard_path
from diffbio_flows.shards.message import ShardResult
from diffbio_flows.shards.session import session
from diffbio_flows.shards.worker import run_shard
from diffbio_io.files.state import FileChangedError
from tests.dask_processes import DaskProcesses


def planned(individual, folder, **more):
    """The tasks of a run over the individual's four contigs, its work directory made."""
    files = {"reads": individual.reads, "reference": individual.reference, "output": folder / "calls.vcf.gz"}
    plan = plan_call(CallParameters(**files, keep_windows=False, **more))
    plan.work.calls.mkdir(parents=True)
    index_reference(individual.reference, plan.work.path)
    return list(plan.tasks(plan.slippage()))


def records(tasks):
    return {task.name: gzip.decompress(shard_path(task.calls, task.name, ".vcf.gz").read_bytes()) for task in tasks}


def lines(output):
    """The records of a VCF."""
    with pysam.BGZFile(str(output)) as file:
        return b"".join(line for line in file.read().splitlines(keepends=True) if not line.startswith(b"#"))


@pytest.fixture(scope="module")
def one_by_one(individual, tmp_path_factory):
    """What the shards hold when one thread works off one after another."""
    tasks = planned(individual, tmp_path_factory.mktemp("one"))
    for task in tasks:
        run_shard(task)
    return records(tasks)


def test_each_thread_has_a_session_of_its_own_and_keeps_it():
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(session).result()
        assert pool.submit(session).result() is theirs
    assert theirs is not session() is session()


def test_shards_that_threads_of_one_process_work_off_side_by_side_hold_the_same_bytes(individual, one_by_one, tmp_path):
    rounds = []
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        rounds.append(planned(individual, tmp_path / str(number)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run_shard, [task for tasks in zip(*rounds, strict=True) for task in tasks]))
    assert [records(tasks) for tasks in rounds] == [one_by_one] * 4


def test_groups_that_a_flow_s_tasks_hand_to_one_executor_side_by_side_hold_the_same_bytes(
    individual, one_by_one, tmp_path
):
    tasks = planned(individual, tmp_path)
    executor = InProcessExecutor()
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(lambda group: process_shards(executor, group, Work(run_shard), Silence()), [tasks[:2], tasks[2:]])
        )
    assert records(tasks) == one_by_one


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_workers_of_any_number_of_threads_write_the_same_bytes(individual, one_by_one, threads, tmp_path):
    with DaskProcesses(tmp_path) as dask:
        dask.start_worker(threads)
        output = tmp_path / "calls.vcf.gz"
        files = {"reads": individual.reads, "reference": individual.reference, "output": output}
        summary = call_variants(**files, scheduler=dask.address)
    assert summary.work.workers == threads
    assert lines(output) == b"".join(one_by_one.values())


@pytest.fixture
def copied(individual, tmp_path):
    """The individual in a folder of the test's own, with its indexes."""
    for file in individual.reads.parent.iterdir():
        shutil.copy(file, tmp_path)
    return replace(individual, reads=tmp_path / individual.reads.name, reference=tmp_path / individual.reference.name)


def called(individual, folder, **more):
    """What a run gives that this process works off; it keeps what it holds from one to the next."""
    folder.mkdir()
    tasks = planned(individual, folder, **more)
    with InProcessExecutor() as executor:
        process_shards(executor, tasks[:1], Work(run_shard), Silence())
    return records(tasks[:1])


def thin(reads):
    """Leaves half of a BAM file's reads, under its name."""
    aside = reads.with_name("half.bam")
    pysam.view("-b", "-s", "0.5", "-o", str(aside), str(reads), catch_stdout=False)
    pysam.index(str(aside))
    aside.replace(reads)
    aside.with_name("half.bam.bai").replace(f"{reads}.bai")


def test_a_bam_that_was_replaced_between_two_runs_is_read_anew(copied, one_by_one, tmp_path):
    before = called(copied, tmp_path / "before")
    thin(copied.reads)
    after = called(copied, tmp_path / "after")
    assert before["chr1.000000"] == one_by_one["chr1.000000"] != after["chr1.000000"]
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(called, copied, tmp_path / "fresh").result() == after


def test_a_reference_that_was_replaced_between_two_runs_is_read_anew(copied, one_by_one, tmp_path):
    before = called(copied, tmp_path / "before")
    position = int(before["chr1.000000"].split(b"\t")[1]) - 1
    with pysam.BGZFile(str(copied.reference)) as file:
        text = file.read()
    at = text.index(b"\n") + 1 + position + position // text[text.index(b"\n") + 1 :].index(b"\n")
    with pysam.BGZFile(str(copied.reference), "w") as file:
        file.write(text[:at] + b"N" + text[at + 1 :])
    for ending in (".fai", ".gzi"):
        copied.reference.with_name(copied.reference.name + ending).unlink(missing_ok=True)
    after = called(copied, tmp_path / "after")
    assert before["chr1.000000"] == one_by_one["chr1.000000"]
    assert after["chr1.000000"].split(b"\t")[1] != str(position + 1).encode()


def test_a_model_that_was_trained_anew_in_its_folder_is_loaded_anew(copied, one_by_one, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(default_model_path(), model)
    assert called(copied, tmp_path / "before", model=model)["chr1.000000"] == one_by_one["chr1.000000"]
    pipeline = load_model(model)
    graph, state = nnx.split(pipeline)
    save_model(model, nnx.merge(graph, jax.tree.map(lambda values: 0.5 * values, state)))
    assert called(copied, tmp_path / "after", model=model)["chr1.000000"] != one_by_one["chr1.000000"]


class Interference:
    """A `Progress` that does something to a file when the first shard is finished."""

    def __init__(self, act):
        self._act = act

    def stage(self, name): ...
    def planned(self, *counts): ...
    def advanced(self, result):
        self._act()
        self._act = lambda: None


@pytest.mark.parametrize("name", ["reads.bam", "reads.bam.bai", "reference.fa.gz", "reference.fa.gz.fai", "model"])
def test_a_file_that_changes_during_a_run_ends_it_with_its_name(copied, tmp_path, name):
    model = tmp_path / "model"
    shutil.copytree(default_model_path(), model)
    file = model / "parameters.safetensors" if name == "model" else tmp_path / name
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "in-process"\n')
    files = {"reads": copied.reads, "reference": copied.reference, "output": tmp_path / "calls.vcf.gz"}
    with pytest.raises(TaskFailedError, match=f"^shard chr2.000000: .*{file} was changed during the run"):
        call_variants(**files, model=model, cluster=cluster, progress=Interference(file.touch))
    assert not files["output"].exists()


def test_a_file_that_goes_during_a_run_ends_it_with_its_name(copied, tmp_path):
    tasks = planned(copied, tmp_path)
    copied.reads.unlink()
    with pytest.raises(FileChangedError, match=f"{copied.reads} cannot be looked at any more"):
        run_shard(tasks[0])


@pytest.mark.slow
def test_a_worker_that_lives_through_a_change_serves_the_new_files(copied, one_by_one, tmp_path):
    with DaskProcesses(tmp_path) as dask:
        dask.start_worker(1)
        files = {"reads": copied.reads, "reference": copied.reference, "scheduler": dask.address, "region": ("chr1",)}
        call_variants(**files, output=tmp_path / "before.vcf.gz")
        thin(copied.reads)
        call_variants(**files, output=tmp_path / "after.vcf.gz")
    assert lines(tmp_path / "before.vcf.gz") == one_by_one["chr1.000000"]
    assert lines(tmp_path / "after.vcf.gz") == called(copied, tmp_path / "fresh")["chr1.000000"]


def test_a_shard_of_a_run_that_is_over_or_was_replaced_is_not_written(individual, tmp_path):
    files = {"reads": individual.reads, "reference": individual.reference, "output": tmp_path / "calls.vcf.gz"}
    plan = plan_call(CallParameters(**files, region=("chr1:1-9000",), keep_windows=False))
    with plan.work.claim(plan.identity()):
        (task,) = plan.tasks(plan.slippage())
        assert len(task.run) == 32
        assert commit_shard(task.calls, ShardResult("other", 1), {".vcf": ""}, partial(check_wanted, task)).files
        plan.work.free()
    with pytest.raises(FileNotFoundError):
        commit_shard(task.calls, ShardResult(task.name, 1), {".vcf": "late\n"}, partial(check_wanted, task))
    shutil.rmtree(plan.work.path)
    other = plan_call(CallParameters(**files, region=("chr1:1-8000",), keep_windows=False))
    with other.work.claim(other.identity()):
        for late in (run_shard, lambda task: commit_shard(task.calls, ShardResult(task.name, 1), {".vcf": "late\n"},
                                                          partial(check_wanted, task))):  # fmt: skip
            with pytest.raises(RunOverError, match=r"no longer has .*calls\.vcf\.gz\.work"):
                late(task)
        assert list(other.work.calls.iterdir()) == []
