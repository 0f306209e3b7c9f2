"""Names that make a VCF unreadable."""

import pysam
import pytest

from diffbio_io.variants.names import nameable_contigs, unnameable_contigs
from diffbio_io.variants.vcf import vcf_header


@pytest.mark.parametrize("name", ["chr1", "HLA-A*01:01", "gi|1|ref|NC_1.1|", "1", "a=b", "x;y", "a/b"])
def test_names_that_the_specification_allows_stay(name):
    assert nameable_contigs({name: 5}) == {name: 5}
    assert unnameable_contigs([name], "r.fa") == ()


@pytest.mark.parametrize(
    "name", ["a,b", "a<b", "a>b", "*a", "=a", 'a"b', "a'b", "a b", "Käfer", "", "(a)", "a[1]", "a\\b"]
)
def test_other_names_are_left_out_of_a_header_that_htslib_reads(tmp_path, name):
    (problem,) = unnameable_contigs([name, "c"], "r.fa")
    assert f"r.fa: names {name!r} with characters that no VCF can hold: the header" in str(problem)
    (tmp_path / "a.vcf").write_text(vcf_header(nameable_contigs({name: 5, "c": 9}), "S"))
    with pysam.VariantFile(str(tmp_path / "a.vcf")) as file:
        assert list(file.header.contigs) == ["c"]


def test_such_a_contig_cannot_be_called():
    (problem,) = unnameable_contigs(["c", "a,b", "<x>"], "r.fa", called=True)
    assert str(problem) == (
        "r.fa: names 'a,b' and 1 more contigs with characters that no VCF can hold, and reads lie there. "
        "Call others with --region, or rename it here and in the reads."
    )
