"""``diffbio call`` from end to end, on real files, with real workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pysam
import pytest

from diffbio_flows import call_variants, evaluate_calls
from diffbio_flows.runs.work_directory import WorkDirectory


@pytest.fixture(scope="module")
def in_process(tmp_path_factory):
    """A cluster file by which shards are processed here, where nothing has to start first."""
    file = tmp_path_factory.mktemp("cluster") / "cluster.toml"
    file.write_text('kind = "in-process"\n')
    return file


@pytest.fixture(scope="module")
def whole(individual, in_process, tmp_path_factory):
    """The individual's calls, and their summary."""
    output = tmp_path_factory.mktemp("whole") / "calls.vcf.gz"
    summary = call_variants(
        reads=individual.reads, reference=individual.reference, output=output, cluster=in_process, keep_windows=False
    )
    return output, summary


def records(path: Path) -> list[str]:
    with pysam.VariantFile(str(path)) as file:
        return [str(record) for record in file]


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the run did not get that far"
        time.sleep(0.01)


def test_the_simulated_variants_are_found(individual, whole):
    output, summary = whole
    table = evaluate_calls(individual.truth, output, individual.reference, confident=individual.confident)
    assert table.overall.to_dict()["METRIC.F1_Score"] > 0.85
    assert summary.variants.records == len(records(output))
    assert summary.work.totals.shards == 4
    assert summary.work.totals.core_bp == 120_000
    assert 12 < summary.mean_depth < 18


def test_reads_without_a_sample_are_called_as_their_file_is_which_is_told_once(individual, diffbio, tmp_path):
    reads = tmp_path / "patient.bam"
    header = pysam.view("-H", "--no-PG", str(individual.reads))
    (tmp_path / "header.sam").write_text("".join(f"{line}\n" for line in header.splitlines() if line[:3] != "@RG"))
    pysam.reheader("--no-PG", str(tmp_path / "header.sam"), str(individual.reads), save_stdout=str(reads))
    pysam.index(str(reads))
    output, region = tmp_path / "calls.vcf.gz", ("--region", "chr1:1-9000", "--workers", "1", "--keep-windows", "no")
    done = diffbio("call", "--reads", reads, "--reference", individual.reference, "--output", output, *region)
    assert done.returncode == 0
    assert done.stderr.count("names no sample") == 1
    assert "names no sample" in (tmp_path / "calls.vcf.gz.work" / "run.log").read_text()
    with pysam.VariantFile(str(output)) as file:
        assert list(file.header.samples) == ["patient"]
        assert "names no sample" in str(file.header)


def test_the_command_gives_an_indexed_vcf_a_summary_and_a_report(individual, whole, diffbio, call_arguments, tmp_path):
    done = diffbio(*call_arguments(tmp_path / "calls.vcf.gz", "--json", "--workers", "2"))
    assert done.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.vcf.gz", "calls.vcf.gz.tbi", "calls.vcf.gz.work"]
    assert records(tmp_path / "calls.vcf.gz") == records(whole[0])
    with pysam.VariantFile(str(tmp_path / "calls.vcf.gz")) as file:
        assert len(list(file.fetch("chr3"))) > 0
        assert [(name, contig.length) for name, contig in file.header.contigs.items()] == [
            (f"chr{number}", 30_000) for number in range(1, 5)
        ]
        assert list(file.header.samples) == ["simulated"]
    summary = json.loads(done.stdout)
    assert summary["variants"]["records"] == len(records(whole[0]))
    assert summary["work"]["workers"] == 2
    assert sorted(path.name for path in (tmp_path / "calls.vcf.gz.work").iterdir()) == [
        "report.html",
        "report_mqc.json",
        "run.json",
        "run.log",
        "summary.json",
        "windows.zarr",
    ]


@pytest.mark.parametrize("region", ["chr2", "chr3:10,001-20,000"])
def test_a_region_alone_gives_the_records_that_the_whole_gives(individual, whole, in_process, tmp_path, region):
    output = tmp_path / "region.vcf.gz"
    call_variants(
        reads=individual.reads,
        reference=individual.reference,
        output=output,
        cluster=in_process,
        region=(region,),
        keep_windows=False,
    )
    contig, _, span = region.partition(":")
    low, high = (int(end.replace(",", "")) for end in (span or "1-30000").split("-"))
    expected = [
        line for line in records(whole[0]) if line.split("\t")[0] == contig and low <= int(line.split("\t")[1]) <= high
    ]
    assert records(output) == expected
    assert len(expected) > 5


def test_the_window_length_does_not_show(individual, whole, in_process, tmp_path):
    output = tmp_path / "calls.vcf.gz"
    files = {"reads": individual.reads, "reference": individual.reference, "output": output, "cluster": in_process}
    call_variants(**files, window_length=2048, keep_windows=False)
    assert records(output) == records(whole[0])


def test_cram_gives_the_records_that_bam_gives(individual, whole, in_process, tmp_path):
    reads, output = tmp_path / "reads.cram", tmp_path / "calls.vcf.gz"
    options = ["--reference", str(individual.reference), "--cram", "--write-index", "--no-PG"]
    pysam.view(*options, "--output", str(reads), str(individual.reads), catch_stdout=False)
    files = {"reads": reads, "reference": individual.reference, "output": output, "cluster": in_process}
    call_variants(**files, keep_windows=False)
    assert records(output) == records(whole[0])


def test_a_killed_run_goes_on_without_doing_finished_shards_again(
    whole, diffbio, start_diffbio, call_arguments, tmp_path
):
    output = tmp_path / "calls.vcf.gz"
    finished = tmp_path / "calls.vcf.gz.work" / "calls"
    run = start_diffbio(call_arguments(output))
    wait_for(lambda: list(finished.glob("*.json")))
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    assert not output.exists()
    done = diffbio(*call_arguments(output, "--json"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["work"]["resumed_shards"] >= 1
    assert records(output) == records(whole[0])


@pytest.mark.parametrize(("number", "whole_group"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_an_interrupted_run_ends_in_order_and_says_how_to_go_on(
    start_diffbio, call_arguments, tmp_path, number, whole_group
):
    output = tmp_path / "calls.vcf.gz"
    run = start_diffbio(call_arguments(output))
    wait_for((tmp_path / "calls.vcf.gz.work" / "calls").exists)
    (os.killpg if whole_group else os.kill)(run.pid, number)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert errors.splitlines()[-1] == (
        "diffbio: interrupted; finished work is kept, the same command goes on from there"
    )
    assert "Traceback" not in errors
    assert not output.exists()


def test_a_worker_that_dies_is_replaced(whole, start_diffbio, call_arguments, tmp_path):
    output = tmp_path / "calls.vcf.gz"
    finished = tmp_path / "calls.vcf.gz.work" / "calls"
    run = start_diffbio(call_arguments(output))
    wait_for(lambda: list(finished.glob("*.json")))
    (worker,) = [each for each in psutil.Process(run.pid).children() if "spawn_main" in " ".join(each.cmdline())]
    worker.kill()
    _, errors = run.communicate(timeout=200)
    assert run.returncode == 0, errors
    assert records(output) == records(whole[0])


@pytest.fixture(scope="module")
def corrupt_reads(individual, tmp_path_factory):
    """The individual's reads with a block overwritten in the last contig."""
    reads = tmp_path_factory.mktemp("corrupt") / "reads.bam"
    with pysam.AlignmentFile(str(individual.reads)) as source, pysam.AlignmentFile(str(reads), "wb", source) as sink:
        # More than the preflight looks at.
        for read in source:
            for _ in range(4):
                sink.write(read)
    pysam.index(str(reads))
    status, data = reads.stat(), bytearray(reads.read_bytes())
    damaged = len(data) * 7 // 8
    data[damaged : damaged + 2000] = bytes(2000)
    reads.write_bytes(data)
    os.utime(reads, ns=(status.st_atime_ns, status.st_mtime_ns))
    return reads


def test_a_corrupt_block_ends_the_run_with_the_shard_and_keeps_the_rest(
    corrupt_reads, diffbio, call_arguments, tmp_path
):
    done = diffbio(*call_arguments(tmp_path / "calls.vcf.gz", "--reads", corrupt_reads))
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "shard chr4.000000" in line]
    assert f"CorruptBlock: {corrupt_reads}: " in line
    assert line.endswith("Finished work is kept: remove the cause and give the same command again to go on.")
    assert not (tmp_path / "calls.vcf.gz").exists()
    assert (tmp_path / "calls.vcf.gz.work" / "run.json").exists()


def test_a_disk_that_takes_no_more_ends_the_run_with_the_cause(start_diffbio, call_arguments, tmp_path):
    no_file_over_150_kb = ["sh", "-c", 'ulimit -f 300; exec "$0" "$@"']
    run = start_diffbio(call_arguments(tmp_path / "calls.vcf.gz"), before=no_file_over_150_kb)
    _, errors = run.communicate(timeout=200)
    assert run.returncode == 1
    assert "File too large" in errors
    assert "shard chr" in errors
    assert not (tmp_path / "calls.vcf.gz").exists()


def test_what_a_run_killed_in_its_merge_has_left_goes_with_the_next(individual, in_process, diffbio_here, tmp_path):
    output = tmp_path / "calls.vcf.gz"
    left = WorkDirectory(tmp_path / "calls.vcf.gz.work").aside(output)
    left.mkdir()
    (left / output.name).write_text("half a file")
    files = ["--reads", individual.reads, "--reference", individual.reference, "--output", output]
    assert diffbio_here("call", *files, "--cluster", in_process, "--region", "chr1:1-3000").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.vcf.gz", "calls.vcf.gz.tbi", "calls.vcf.gz.work"]


def as_cram(individual, folder: Path) -> Path:
    """The individual's reads as CRAM, made with a copy of the reference that is not there any more."""
    reads, reference = folder / "reads.cram", Path(shutil.copy(individual.reference, folder / "gone.fa.gz"))
    options = ["--reference", str(reference), "--cram", "--write-index", "--no-PG"]
    pysam.view(*options, "--output", str(reads), str(individual.reads), catch_stdout=False)
    for path in folder.glob("gone*"):
        path.unlink()
    return reads


@pytest.mark.mounts
@pytest.mark.parametrize("kind", ["bam", "cram"])
def test_a_reference_in_a_read_only_folder_is_indexed_in_the_work_directory(
    individual, whole, in_process, diffbio_here, tiny_disk, tmp_path, kind
):
    disk = tiny_disk("4m")
    reference = shutil.copy(individual.reference, disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    reads = as_cram(individual, tmp_path) if kind == "cram" else individual.reads
    (tmp_path / "work").mkdir()
    files = ["--reads", reads, "--reference", reference, "--output", tmp_path / "calls.vcf.gz"]
    options = ["--work-dir", tmp_path / "work", "--cluster", in_process, "--region", "chr1:1-8000"]
    assert diffbio_here("call", *files, *options).returncode == 0
    calls = records(tmp_path / "calls.vcf.gz")
    assert calls == records(whole[0])[: len(calls)]
    assert len(calls) > 5
    made = ["reference.fa.gz", "reference.fa.gz.fai", "reference.fa.gz.gzi"]
    assert sorted(path.name for path in (tmp_path / "work").glob("reference*")) == made
    assert sorted(path.name for path in disk.iterdir()) == ["reference.fa.gz"]


def test_files_by_links_may_have_their_indexes_beside_the_links_alone(individual, in_process, diffbio_here, tmp_path):
    (tmp_path / "files").mkdir()
    for path in (individual.reads, individual.reference):
        target = shutil.copy2(path, tmp_path / "files")
        (tmp_path / path.name).symlink_to(target)
    for path in [*individual.reads.parent.glob("*.bai"), *individual.reads.parent.glob("*.fa.gz.*")]:
        shutil.copy2(path, tmp_path)
    files = ["--reads", tmp_path / individual.reads.name, "--reference", tmp_path / individual.reference.name]
    options = ["--output", tmp_path / "calls.vcf.gz", "--cluster", in_process, "--region", "chr1:1-3000"]
    assert diffbio_here("call", *files, *options).returncode == 0
    assert len(list((tmp_path / "files").iterdir())) == 2


def test_all_faults_of_the_input_are_told_at_once_and_nothing_is_written(individual, diffbio_here, tmp_path):
    arguments = ["--reads", tmp_path / "absent.bam", "--reference", individual.reference, "--region", "chr9"]
    done = diffbio_here("call", *arguments, "--output", tmp_path / "calls.vcf", "--model", tmp_path)
    assert done.returncode == 2
    told = "\n".join(line.removeprefix("diffbio: ") for line in done.stderr.splitlines())
    for fault in ("absent.bam: no such file", "no contig 'chr9'", "does not end in .vcf.gz", "is not a model"):
        assert fault in told
    assert list(tmp_path.iterdir()) == []


def test_a_work_directory_of_another_run_is_refused_with_what_differs(
    individual, in_process, diffbio_here, call_arguments, tmp_path
):
    output = tmp_path / "calls.vcf.gz"
    files = {"reads": individual.reads, "reference": individual.reference, "output": output, "cluster": in_process}
    call_variants(**files, region=("chr1:1-9000",))
    done = diffbio_here(*call_arguments(output, "--region", "chr1:1-8000", "--force"))
    assert done.returncode == 2
    assert 'belongs to another run: region was ["chr1:1-9000"], now ["chr1:1-8000"]' in done.stderr


def test_an_output_that_exists_is_replaced_only_by_force(
    individual, in_process, diffbio_here, call_arguments, tmp_path
):
    output = tmp_path / "calls.vcf.gz"
    output.write_text("mine")
    assert diffbio_here(*call_arguments(output, "--region", "chr1:1-9000")).returncode == 2
    assert output.read_text() == "mine"
    files = {"reads": individual.reads, "reference": individual.reference, "output": output, "cluster": in_process}
    call_variants(**files, region=("chr1:1-9000",), force=True)
    assert len(records(output)) > 0


def test_an_unreachable_scheduler_is_told_by_its_address(individual, diffbio_here, tmp_path):
    files = ["--reads", individual.reads, "--reference", individual.reference, "--output", tmp_path / "c.vcf.gz"]
    cluster = tmp_path / "cluster.toml"
    cluster.write_text('kind = "address"\naddress = "tcp://127.0.0.1:9"\nworker_timeout = 1\n')
    done = diffbio_here("call", *files, "--cluster", cluster)
    assert done.returncode == 1
    assert "no Dask cluster could be reached or started at tcp://127.0.0.1:9" in done.stderr


@pytest.mark.slow
def test_the_prefect_flow_gives_the_same_bytes(whole, diffbio, call_arguments, tmp_path):
    home = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    home.pop("PREFECT_API_URL", None)
    output = tmp_path / "calls.vcf.gz"
    done = diffbio(*call_arguments(output, "--prefect", "--json", "--keep-windows", "no"), env=home)
    assert done.returncode == 0
    assert output.read_bytes() == whole[0].read_bytes()
    summary = json.loads(done.stdout)
    assert summary["variants"]["records"] == len(records(output))
    assert list(summary["work"]["wall_seconds"]) == list(whole[1].work.wall_seconds)
    assert done.stderr.splitlines().count("diffbio: check input") == 1
    assert list((tmp_path / "prefect" / "storage").glob("*")) == []


@pytest.mark.slow
def test_an_interrupt_at_the_terminal_ends_a_prefect_flow_in_order(
    start_diffbio, call_arguments, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    run = start_diffbio(call_arguments(tmp_path / "calls.vcf.gz", "--prefect"))
    wait_for((tmp_path / "calls.vcf.gz.work" / "calls").exists)
    family = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "diffbio: interrupted; finished work is kept, the same command goes on from there" in errors.splitlines()
    assert "Traceback" not in errors
    assert psutil.wait_procs(family, timeout=30)[1] == []


@pytest.mark.slow
def test_a_failed_prefect_flow_ends_like_a_failed_run(corrupt_reads, diffbio, call_arguments, tmp_path):
    home = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    home.pop("PREFECT_API_URL", None)
    arguments = call_arguments(tmp_path / "calls.vcf.gz", "--reads", corrupt_reads, "--prefect")
    done = diffbio(*arguments, env=home)
    assert done.returncode == 1
    assert "diffbio: shard chr4.000000: CorruptBlock" in done.stderr
    assert not (tmp_path / "calls.vcf.gz").exists()
