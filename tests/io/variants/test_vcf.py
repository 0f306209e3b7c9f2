"""VCF files, read back by bcftools."""

import os

import pysam
import pysam.bcftools
import pytest

from diffbio_core.calling.sites import CalledSite
from diffbio_io.variants.vcf import merge_shards, structured, vcf_header, vcf_line

CONTIGS = {"c2": 1000, "c1": 240}


def site(contig="c1", position=9, ref="C", alts=("T",), genotype=(0, 1), **changes):
    alleles = 1 + len(alts)
    fields = dict(
        qual=31.456, gq=30, pl=tuple(range(alleles if len(genotype) == 1 else alleles * (alleles + 1) // 2)),
        depth=12, coverage=12, allele_depths=tuple(range(alleles)), filters=(),
    )  # fmt: skip
    return CalledSite(contig, position, ref, alts, genotype, **(fields | changes))


def merged(tmp_path, *shards, contigs=CONTIGS, output="calls.vcf.gz"):
    paths = []
    for number, sites in enumerate(shards):
        paths.append(tmp_path / f"shard{number}.txt")
        paths[-1].write_text("".join(map(vcf_line, sorted(sites))))
    header = vcf_header(contigs, "S1", meta=[("source", "test")])
    merge_shards(tmp_path / output, paths, contigs, header, aside=tmp_path / "aside")
    return tmp_path / output


def test_a_site_is_one_line_of_vcf():
    line = vcf_line(site(ref="CA", alts=("C", "CAA"), genotype=(1, 2), filters=("LowQual",)))
    assert (
        line == "c1\t10\t.\tCA\tC,CAA\t31.46\tLowQual\tDP=12;AC=1,1;AN=2\tGT:GQ:DP:AD:PL\t1/2:30:12:0,1,2:0,1,2,3,4,5\n"
    )


def test_a_site_whose_reads_were_thinned_tells_how_many_there_were():
    line = vcf_line(site(depth=55, coverage=2000))
    assert "\tDP=2000;" in line
    assert ":55:" in line.split("\t")[-1]


def test_a_haploid_genotype_has_one_allele():
    assert vcf_line(site(genotype=(1,))).endswith("DP=12;AC=1;AN=1\tGT:GQ:DP:AD:PL\t1:30:12:0,1:0,1\n")


def test_the_header_names_the_references_contigs_in_order():
    header = vcf_header(CONTIGS, "S1", meta=[("source", "test")]).splitlines()
    assert header[0] == "##fileformat=VCFv4.2"
    assert [line for line in header if line.startswith("##contig")] == [
        "##contig=<ID=c2,length=1000>",
        "##contig=<ID=c1,length=240>",
    ]
    assert header[-1].endswith("FORMAT\tS1")
    assert "##source=test" in header


def test_bcftools_reads_the_merged_file_by_region(tmp_path):
    path = merged(tmp_path, [site("c2", 5), site("c2", 700)], [], [site("c1", 9), site("c1", 3)])
    assert pysam.bcftools.query("-f", "%CHROM:%POS[ %GT %AD]\n", str(path)) == (
        "c2:6 0/1 0,1\nc2:701 0/1 0,1\nc1:4 0/1 0,1\nc1:10 0/1 0,1\n"
    )
    assert pysam.bcftools.view("-H", "-r", "c2:650-800", str(path)).split("\t")[:2] == ["c2", "701"]
    assert pysam.bcftools.index("-n", str(path)) == "4\n"


def test_the_merged_file_is_bgzip_with_its_end_marker(tmp_path):
    path = merged(tmp_path, [site()])
    assert path.read_bytes().endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))


def test_a_run_without_calls_gives_a_valid_empty_file(tmp_path):
    path = merged(tmp_path, [], [])
    assert pysam.bcftools.view("-H", str(path)) == ""
    assert path.with_name("calls.vcf.gz.tbi").is_file()


def test_a_contig_over_512_mb_gets_a_csi_index(tmp_path):
    contigs = {"long": 600_000_000}
    (tmp_path / "calls.vcf.gz.tbi").write_text("of an older run")
    path = merged(tmp_path, [site("long", 10), site("long", 590_000_000)], contigs=contigs)
    assert not path.with_name("calls.vcf.gz.tbi").exists()
    assert pysam.bcftools.view("-H", "-r", "long:590000001", str(path)).split("\t")[1] == "590000001"


def test_the_same_records_give_the_same_bytes(tmp_path):
    first = merged(tmp_path, [site("c2", 5)], [site()], output="one.vcf.gz").read_bytes()
    assert merged(tmp_path, [site("c2", 5), site()][:1], [], [site()], output="two.vcf.gz").read_bytes() == first


def test_a_missing_shard_is_refused_and_the_old_file_stays(tmp_path):
    path = merged(tmp_path, [site()])
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError, match=r"shard9\.txt"):
        merge_shards(path, [tmp_path / "shard9.txt"], CONTIGS, vcf_header(CONTIGS, "S1"), aside=tmp_path / "aside")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([[site("c1", 50)], [site("c1", 9)]], r"shard1\.txt: the record at c1:10 comes after a later one"),
        ([[site("c1")], [site("c2")]], "comes after a later one"),
        ([[site("cX")]], "the header has no contig 'cX'"),
    ],
)
def test_records_out_of_order_leave_no_file(tmp_path, shards, message):
    with pytest.raises(ValueError, match=message):
        merged(tmp_path, *shards)
    assert sorted(os.listdir(tmp_path)) == [f"shard{number}.txt" for number in range(len(shards))]


def test_a_half_written_shard_is_refused(tmp_path):
    shard = tmp_path / "shard.txt"
    shard.write_text(vcf_line(site())[:-5])
    with pytest.raises(ValueError, match="its last line is not whole"):
        merge_shards(tmp_path / "calls.vcf.gz", [shard], CONTIGS, vcf_header(CONTIGS, "S1"), aside=tmp_path / "aside")


def test_a_structured_line_keeps_any_name(tmp_path):
    name = 'a "b", <c>=\\ d\n.bam'
    meta = [("diffbio", structured("reads", {"Name": name, "Size": 3}))]
    path = tmp_path / "calls.vcf"
    path.write_text(vcf_header(CONTIGS, "S1", meta=meta, md5={"c2": "0" * 32}))
    with pysam.VariantFile(str(path)) as file:
        (line,) = [record for record in file.header.records if record.key == "diffbio"]
        assert line["Size"] == "3"
        assert line["Name"] == r'"a \"b\", <c>=\\ d?.bam"'
        contigs = [dict(record.items()) for record in file.header.records if record.key == "contig"]
    assert [contig.get("md5") for contig in contigs] == [f'"{"0" * 32}"', None]
