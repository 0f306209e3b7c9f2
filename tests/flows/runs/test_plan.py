"""What a run will do, worked out from its parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.models import default_model_path
from diffbio_core.problems import InputError
from diffbio_core.reads.slippage import Slippage
from diffbio_core.windows.grid import Shard, WindowGrid
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.plan import (
    CallPlan,
    bp_per_task,
    call_identity,
    copies_of,
    core_intervals,
    plan_call,
    shard_groups,
    source_identity,
)
from diffbio_flows.runs.work_directory import WorkDirectory

CONTIGS = {"chr2": 600_000, "chrX": 300_000, "chr1": 1000}
GRID = WindowGrid(512, 256, 4)


@pytest.fixture
def files(tmp_path):
    """An empty file of each kind; a plan looks at no more than their names."""
    for name in ("r.bam", "r.fa", "regions.bed"):
        (tmp_path / name).touch()
    return {"reads": tmp_path / "r.bam", "reference": tmp_path / "r.fa", "output": tmp_path / "o.vcf.gz"}


def plan(files, intervals, **more):
    parameters = CallParameters(**files, **more)
    made_of, copies = source_identity(parameters), copies_of(parameters, CONTIGS)
    return CallPlan(parameters, CONTIGS, intervals, "S", default_model_path(), parameters.grid, made_of, copies=copies)


def test_there_is_a_task_for_every_shard_in_the_order_of_the_reference(files):
    tasks = list(plan(files, {"chr2": ((0, 600_000),), "chr1": ((0, 1000),)}).tasks(Slippage()))

    assert [task.name for task in tasks] == ["chr2.000000", "chr2.000001", "chr2.000002", "chr1.000000"]
    assert [task.intervals for task in tasks] == [
        ((0, 262_144),),
        ((262_144, 524_288),),
        ((524_288, 600_000),),
        ((0, 1000),),
    ]
    assert bp_per_task(tasks) == 601_000


def test_a_task_names_whole_paths_whatever_folder_a_worker_is_in(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = {name: Path(path.name) for name, path in files.items()}
    (task,) = plan(relative, {"chr1": ((5, 10), (20, 30))}).tasks(Slippage())

    assert (task.reads, task.reference) == (str(files["reads"]), str(files["reference"]))
    assert (task.work, task.calls) == (f"{files['output']}.work", f"{files['output']}.work/calls")
    assert task.store == f"{files['output']}.work/windows.zarr"
    assert Path(task.model).is_absolute()
    assert (task.sample, task.intervals, task.gvcf) == ("S", ((5, 10), (20, 30)), False)


def test_contigs_with_one_copy_windows_that_go_and_a_gvcf_show_in_the_tasks(files, tmp_path):
    intervals = {"chrX": ((0, 9),), "chr1": ((0, 9),)}
    more = {"haploid_contigs": ["chrX"], "keep_windows": False, "gvcf": tmp_path / "o.g.vcf.gz"}
    tasks = list(plan(files, intervals, **more).tasks(Slippage()))

    assert [(task.haploid == task.intervals, task.store, task.gvcf) for task in tasks] == [
        (True, None, True),
        (False, None, True),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 4999), st.integers(1, 900)), max_size=6),
    st.integers(1, 5000),
)
def test_the_cores_of_all_shards_hold_each_position_asked_for_once(pieces, length):
    asked = {at for start, size in pieces for at in range(start, min(start + size, length))}
    edges = [at for at in range(length + 1) if (at in asked) != (at - 1 in asked)]
    intervals = tuple(zip(edges[::2], edges[1::2], strict=True))

    held = [
        at
        for shard in GRID.shards("c", length, intervals)
        for start, stop in core_intervals(GRID, shard, length, intervals)
        for at in range(start, stop)
    ]

    assert held == sorted(asked)


def test_what_a_shard_holds_besides_its_core_is_not_asked_for():
    shard = Shard("c", 1, 5, 7)
    assert core_intervals(GRID, shard, 3500, ((0, 2560), (2600, 2601), (3400, 3500))) == ((2600, 2601), (3400, 3500))
    assert core_intervals(GRID, shard, 3500, ((0, 100),)) == ()


@given(st.integers(0, 7000), st.integers(1, 50), st.integers(1, 64))
def test_groups_hold_every_task_in_order_and_are_few(number, largest_number, smallest_size):
    groups = shard_groups(list(range(number)), largest_number, smallest_size)

    assert [task for group in groups for task in group] == list(range(number))
    assert len(groups) <= largest_number
    assert all(len(group) >= smallest_size for group in groups[:-1])


def test_what_only_says_how_a_run_is_worked_off_is_none_of_its_identity(files):
    one = plan(files, {}).identity()

    assert plan(files, {}, workers=7, force=True, work_dir="elsewhere").identity() == one
    assert plan(files, {}, scheduler="tcp://h:1").identity() == one


@pytest.mark.parametrize(
    "change",
    [
        {"region": ["chr1:1-5"]},
        {"regions": "regions.bed"},
        {"sample": "T"},
        {"haploid_contigs": ["chrX"]},
        {"sex": "unknown"},
        {"window_length": 512},
        {"keep_windows": False},
        {"gvcf": "o.g.vcf.gz"},
        {"output": "other.vcf.gz"},
        {"reads": "r.fa"},
    ],
)
def test_what_shows_in_the_output_is_part_of_its_identity(files, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    model = default_model_path()

    assert call_identity(CallParameters(**files | change), model) != call_identity(CallParameters(**files), model)


def test_an_input_that_was_written_anew_is_another(files):
    before = plan(files, {}).identity()
    files["reads"].write_bytes(b"x")

    assert plan(files, {}).identity() != before


def test_every_problem_is_told_at_once_and_nothing_is_written(files, tmp_path):
    before = sorted(tmp_path.iterdir())
    more = {"model": tmp_path / "none", "scheduler": "tcp://h:1", "workers": 2, "reads": tmp_path / "none.bam"}

    with pytest.raises(InputError) as caught:
        plan_call(CallParameters(**files | more))

    subjects = [problem.subject for problem in caught.value.problems]
    assert subjects[-2:] == ["cluster", "--model"]
    assert any(subject.endswith("none.bam") for subject in subjects)
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_that_stopped_behind_its_output_may_go_on(individual, tmp_path):
    output = tmp_path / "o.vcf.gz"
    output.touch()
    parameters = CallParameters(reads=individual.reads, reference=individual.reference, output=output, workers=1)
    with pytest.raises(InputError, match=r"o\.vcf\.gz: exists"):
        plan_call(parameters)
    with WorkDirectory(parameters.work_path).claim(call_identity(parameters, default_model_path())):
        pass

    planned = plan_call(parameters)

    assert [shard.contig for shard in planned.shards()] == list(planned.contigs)
    assert planned.sample
    with pytest.raises(InputError, match="belongs to another run: sample was not given, now T"):
        plan_call(parameters.model_copy(update={"sample": "T"}))


def test_a_sex_needs_a_human_reference(files):
    with pytest.raises(InputError, match="--sex: X and Y are known of GRCh37 and GRCh38 alone"):
        copies_of(CallParameters(**files, sex="male"), CONTIGS)
    assert copies_of(CallParameters(**files, sex="unknown"), CONTIGS).haploid == {}
