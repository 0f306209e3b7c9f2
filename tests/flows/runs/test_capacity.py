"""Memory and disk that a run needs, told with what there is."""

from pathlib import Path

from diffbio_flows.runs.capacity import check_disk, check_memory, estimate_disk
from diffbio_flows.runs.parameters import CallParameters, IngestParameters
from diffbio_io.alignments.preflight import AlignmentReport

FILES = {"reads": Path("r.bam"), "reference": Path("r.fa")}
CALL = CallParameters(**FILES, output=Path("o.vcf.gz"))


def test_memory_tells_both_numbers_and_how_many_workers_fit():
    (problem,) = check_memory(4, 3_500_000_000)
    assert str(problem) == "memory: 4 workers of 1.5 GB need 6.0 GB, but 3.5 GB are free. Run with --workers 2."
    assert check_memory(2, 3_500_000_000) == []
    assert check_memory(1, 10)[0].remedy == "Free memory first."


def test_disk_tells_both_numbers(tmp_path):
    (problem,) = check_disk(tmp_path, 10**18, "--store")
    assert problem.what.startswith("a run needs about 1,000,000,000.0 GB, but ")
    assert check_disk(tmp_path, 1, "--store") == []


def test_the_disk_that_windows_take_follows_the_reads_and_the_regions():
    report = AlignmentReport((), "S", ("c1",), mapped_reads=1_000_000)
    length = {"c1": 10**6}
    whole = estimate_disk(CALL, report, {"c1": ((0, 10**6),)}, length)
    half = estimate_disk(CALL, report, {"c1": ((0, 5 * 10**5),)}, length)
    assert whole == 2 * half == 100_400_000
    ingest = IngestParameters(**FILES, store="windows.zarr")
    assert estimate_disk(ingest, report, {"c1": ((0, 10**6),)}, length) == 100_000_000


def test_without_windows_the_disk_holds_records_and_blocks():
    report = AlignmentReport((), "S", ("c1",), mapped_reads=1_000_000)
    wanted = {"c1": ((0, 10**6),)}
    calls = CALL.model_copy(update={"keep_windows": False})
    assert estimate_disk(calls, report, wanted, {"c1": 10**6}) == 400_000
    both = calls.model_copy(update={"gvcf": Path("o.g.vcf.gz")})
    assert estimate_disk(both, report, wanted, {"c1": 10**6}) == 3_400_000
