"""Reading genotyped VCF, with alleles as ``bcftools norm`` writes them."""

import random
from functools import partial

import pysam
import pysam.bcftools
import pytest

from diffbio_core.calling.alleles import normalise
from diffbio_core.problems import InputError
from diffbio_io.reference import Reference
from diffbio_io.variants.truth import GenotypedVcf

HEADER = """##fileformat=VCFv4.2
##FORMAT=<ID=GT,Number=1,Type=String,Description="x">
##contig=<ID=c1>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS
"""


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "r.fa"
    draw = random.Random(5)
    repeats = "".join(draw.choice("ACGT") * draw.randint(1, 7) + "AC" * draw.randint(0, 4) for _ in range(120))
    path.write_text(f">c1\n{repeats}\n")
    return Reference(path)


def records(reference, count=300):
    """Random records, many of them in repeats, some with two alternative alleles."""
    draw = random.Random(7)
    sequence = reference.sequence("c1", 0, reference.contigs["c1"])
    for number in range(count):
        position = draw.randrange(0, len(sequence) - 12)
        ref = sequence[position : position + draw.randint(1, 6)]
        alts = []
        while len(alts) < draw.choice((1, 1, 2)):
            alt = draw.choice((ref + ref[-1], ref[:-1], ref + sequence[position : position + 3], ref[0] + "GT"))
            if alt not in (*alts, ref, ""):
                alts.append(alt)
        yield number, position, ref, tuple(alts)


def test_normal_forms_are_those_of_bcftools_norm(tmp_path, reference):
    bases = partial(reference.sequence, "c1")
    lines, ours = [], {}
    for number, position, ref, alts in records(reference):
        lines.append((position, f"c1\t{position + 1}\tr{number}\t{ref}\t{','.join(alts)}\t.\t.\t.\tGT\t0/1\n"))
        ours[f"r{number}"] = normalise(position, ref, alts, bases)
    vcf = tmp_path / "in.vcf"
    vcf.write_text(HEADER + "".join(line for _, line in sorted(lines)))
    out = tmp_path / "out.vcf"
    pysam.bcftools.norm("-f", str(reference.path), "-o", str(out), str(vcf), catch_stdout=False)
    theirs = {r.id: (r.start, r.ref, r.alts) for r in pysam.VariantFile(str(out))}
    assert {name: ours[name] for name in theirs} == theirs
    assert len(theirs) > 250


def write(tmp_path, *rows):
    path = tmp_path / "t.vcf"
    path.write_text(HEADER + "".join("\t".join(row) + "\n" for row in rows))
    return GenotypedVcf(path)


def test_genotypes_are_read_as_pairs_of_normalised_alleles(tmp_path):
    fasta = tmp_path / "r.fa"
    fasta.write_text(">c1\nGATTTTTTACG\n")
    vcf = write(
        tmp_path,
        ("c1", "7", ".", "TT", "T", ".", "PASS", ".", "GT", "0|1"),
        ("c1", "9", ".", "A", "C", ".", "q10", ".", "GT", "./1"),
        ("c1", "10", ".", "c", "t,g", ".", ".", ".", "GT", "2/1"),
        ("c1", "10", ".", "C", "T", ".", ".", ".", "GT", "0/0"),
        ("c1", "10", ".", "C", "*", ".", ".", ".", "GT", "0/1"),
        ("c1", "11", ".", "G", "A", ".", ".", ".", "GT", "1"),
    )
    variants = vcf.variants("c1", partial(Reference(fasta).sequence, "c1"))
    assert [(v.position, v.ref, v.alleles, v.passed) for v in variants] == [
        (1, "AT", ("AT", "A"), True),
        (8, "A", ("A", "C"), False),
        (9, "C", ("G", "T"), True),
        (10, "G", ("A", "A"), True),
    ]


def test_a_contig_without_records_has_no_variants(tmp_path, reference):
    assert write(tmp_path).variants("c9", partial(reference.sequence, "c1")) == []


@pytest.mark.parametrize("text", ["", "text\n", "##fileformat=VCFv4.2\n"])
def test_what_is_not_vcf_is_told(tmp_path, text):
    path = tmp_path / "t.vcf"
    path.write_text(text)
    with pytest.raises(InputError, match=r"t\.vcf"):
        GenotypedVcf(path)


def test_a_vcf_without_genotypes_is_told(tmp_path):
    path = tmp_path / "t.vcf"
    path.write_text(HEADER.replace("\tFORMAT\tS", ""))
    with pytest.raises(InputError, match="holds no sample"):
        GenotypedVcf(path)


def test_a_sample_that_is_not_there_is_told(tmp_path):
    path = tmp_path / "t.vcf"
    path.write_text(HEADER)
    with pytest.raises(InputError, match=r"has no sample 'T'\. It has: S"):
        GenotypedVcf(path, sample="T")


def test_a_truncated_vcf_is_told(tmp_path, reference):
    path = tmp_path / "t.vcf"
    rows = "".join(f"c1\t{p}\t.\tN\tA\t.\t.\t.\tGT\t0/1\n" for p in range(1, 3000))
    path.write_text(HEADER + rows)
    pysam.tabix_compress(str(path), f"{path}.gz")
    whole = (tmp_path / "t.vcf.gz").read_bytes()
    (tmp_path / "cut.vcf.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.vcf\.gz"):
        GenotypedVcf(tmp_path / "cut.vcf.gz").variants("c1", lambda a, b: "N" * (b - a))
