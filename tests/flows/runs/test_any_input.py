"""Whatever its files hold, a command ends with a result or with lines that tell why not."""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.problems import InputError
from diffbio_flows.runs.evaluate import evaluate_calls
from diffbio_flows.runs.parameters import CallParameters
from diffbio_flows.runs.preflight import check_run
from tests.io.alignments.headers import write_raw_bam

SEQUENCE = "".join(random.Random(8).choices("ACGT", k=300))
HEADER = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS\n"


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "r.fa").write_text(f">c\n{SEQUENCE}\n")
        yield Path(name)


def vcf_row(position, ref, alt, genotype):
    return f"c\t{position}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t{genotype}\n".encode()


@st.composite
def rows(draw):
    """Records whose REF is mostly right, with genotypes and alleles of every kind."""
    found = b""
    for _ in range(draw(st.integers(0, 5))):
        position, length = draw(st.integers(0, 300)), draw(st.integers(1, 4))
        ref = SEQUENCE[max(0, position - 1) : position - 1 + length] or "N"
        alt = draw(
            st.sampled_from(
                ["A", "C", ref, ref + "G", ref[0], "*", "<DEL>", "<*>", "A,*", "T,C", ".", "R", "a", "A]c:1]"]
            )
        )
        genotype = draw(st.sampled_from(["0/1", "1/1", "1/2", "./1", "1|.", ".", "1", "0/0", "0/1/1", "2|1"]))
        found += vcf_row(position, ref, alt, genotype)
    return found


junk = st.binary(max_size=60)
beds = junk | st.lists(
    st.sampled_from([b"c\t1\t200", b"c\t5\t3", b"d\t1\t2", b"track x", b"\t1\t2", b"c\t0\t900", b"@SQ", b""]),
    max_size=4,
).map(b"\n".join)


@settings(max_examples=150, deadline=None)
@given(rows() | junk, rows() | junk, beds, st.booleans())
def test_any_files_are_evaluated_or_refused(folder, truth, calls, bed, with_bed):
    for name, data in (("t.vcf", HEADER + truth), ("c.vcf", HEADER + calls), ("b.bed", bed)):
        (folder / name).write_bytes(data)
    with contextlib.suppress(InputError):
        table = evaluate_calls(
            folder / "t.vcf", folder / "c.vcf", folder / "r.fa", folder / "b.bed" if with_bed else None
        )
        assert table.overall.truth_tp <= table.overall.truth_total


@settings(max_examples=100, deadline=None)
@given(rows())
def test_any_records_that_can_be_read_match_themselves(folder, records):
    (folder / "s.vcf").write_bytes(HEADER + records)
    with contextlib.suppress(InputError):
        overall = evaluate_calls(folder / "s.vcf", folder / "s.vcf", folder / "r.fa").overall
        assert (overall.truth_fn, overall.query_fp) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    junk,
    beds,
    junk,
    st.sampled_from([b"", b"\n", b">c\n", b">d\nACGT\n>c\nAC\n\nGT\n", b"\xff\xfe", b">c\nAC\xffGT\n"]),
)
def test_any_files_are_checked_or_refused(text, bed, cluster, fasta):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_raw_bam(folder / "r.bam", b"@RG\tID:r\tSM:S\n" + text, [(b"c", 4)], starts=(0,))
        (folder / "r.fa").write_bytes(fasta or f">c\n{SEQUENCE}\n".encode())
        (folder / "b.bed").write_bytes(bed)
        (folder / "c.toml").write_bytes(cluster)
        parameters = CallParameters(
            reads=folder / "r.bam",
            reference=folder / "r.fa",
            output=folder / "o.vcf.gz",
            regions=folder / "b.bed",
            cluster=folder / "c.toml",
        )
        with contextlib.suppress(InputError):
            assert check_run(parameters).sample
