import gzip

import numpy as np
import pandas as pd
import pytest

from diffbio_core.problems import InputError
from diffbio_io.tables import read_counts, read_samples

SAMPLES = "sample,condition\nb,treated\na,control\n"


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "gene,a,b\ng1,1,2\ng2,3,4\n"),
        ("c.tsv.gz", "gene\ta\tb\ng1\t1\t2\ng2\t3\t4\n"),
        ("c.txt", "\ufeffgene;a;b\r\ng1;1;2\r\ng2;3;4\r\n"),
        ("turned.csv", ",g1,g2\na,1,3\nb,2,4\n"),
    ],
)
def test_counts_come_in_the_order_of_the_samples_however_they_are_laid(write, name, text):
    found = read_counts(write(name, text), write("s.csv", SAMPLES))

    pd.testing.assert_frame_equal(
        found.counts, pd.DataFrame([[2, 4], [1, 3]], index=["b", "a"], columns=["g1", "g2"]), check_names=False
    )
    assert list(found.samples["condition"]) == ["treated", "control"]
    assert found.ignored == ()


def test_columns_that_are_no_samples_are_told(write):
    text = "gene,chromosome,a,length,b\n007,chr1,1,900,2\n"

    found = read_counts(write("c.csv", text), write("s.csv", SAMPLES))

    assert found.ignored == ("chromosome", "length")
    assert list(found.counts.columns) == ["007"]


def test_reads_without_a_gene_are_no_gene(write):
    found = read_counts(
        write("c.tsv", "a\tb\ng\t1\t2\n__no_feature\t90\t80\nN_unmapped\t1\t1\n"), write("s.csv", SAMPLES)
    )
    assert (list(found.counts.columns), found.no_genes) == (["g"], ("__no_feature", "N_unmapped"))


def test_names_of_numbers_are_names(write):
    found = read_counts(write("c.csv", "gene,1,02\ng,5,6\n"), write("s.csv", "s,x\n02,u\n1,v\n"))
    assert found.counts["g"].to_dict() == {"02": 6, "1": 5}


def test_samples_and_genes_keep_names_that_look_like_numbers_or_missing_values(write):
    names = ["00001", "1.1", "1.10", "NA", "nan", "None"]
    table = "".join(f"{name},{number},{number}\n" for number, name in enumerate(names))

    samples = read_samples(write("s.csv", f",condition,age\n{table}"))
    by_genes = read_counts(write("c.csv", f",a,b\n{table}"), write("t.csv", SAMPLES))
    by_samples = read_counts(
        write("c.tsv", "\t" + "\t".join(names) + "\na\t0\t1\t2\t3\t4\t5\nb\t0\t1\t2\t3\t4\t5\n"),
        write("t.csv", SAMPLES),
    )
    of_them = read_counts(
        write("c.csv", "gene," + ",".join(names) + "\ng,0,1,2,3,4,5\n"), write("s.csv", f",age,x\n{table}")
    )

    assert list(samples.index) == names
    assert list(by_genes.counts.columns) == list(by_samples.counts.columns) == names
    assert of_them.counts["g"].to_dict() == {name: number for number, name in enumerate(names)}


def test_what_stands_in_a_column_tells_text_numbers_and_missing_values(write):
    text = "s,level,age,dose\na,None, 1,None\nb,null,NA,10\nc, nan ,nan,2.5\nd,N/A,,\ne,,2,NA\nf,NA,3,1e3\n"
    found = read_samples(write("s.csv", text))

    assert found["level"].fillna("missing").tolist() == ["None", "null", "missing", "N/A", "missing", "missing"]
    np.testing.assert_array_equal(found["age"], [1, np.nan, np.nan, np.nan, 2, 3])
    np.testing.assert_array_equal(found["dose"], [np.nan, 10, 2.5, np.nan, np.nan, 1000])


def test_a_sample_that_stands_twice_in_the_counts_is_refused_and_a_gene_is_not(write):
    with pytest.raises(InputError, match="names sample 'a' more than once"):
        read_counts(write("c.csv", "gene,a,b,a\ng,1,2,3\n"), write("s.csv", SAMPLES))
    found = read_counts(write("c.csv", "gene,a,b,z,z\ng,1,2,0,0\ng,3,4,0,0\n"), write("s.csv", SAMPLES))
    assert (list(found.counts.columns), found.ignored) == (["g", "g"], ("z", "z"))


def test_an_h5ad_file_with_a_sample_twice_is_refused(tmp_path, write):
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"condition": ["x", "y", "z"]}, index=["a", "b", "a"])
    with pytest.warns(UserWarning, match="not unique"):
        anndata.AnnData(np.ones((3, 2)), obs=obs).write_h5ad(tmp_path / "c.h5ad")
    with (
        pytest.warns(UserWarning, match="not unique"),
        pytest.raises(InputError, match="names sample 'a' more than once"),
    ):
        read_counts(tmp_path / "c.h5ad", write("s.csv", SAMPLES))


def test_an_h5ad_file_brings_its_samples_or_takes_others(tmp_path, write):
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"condition": ["x", "y"]}, index=["a", "b"])
    path = tmp_path / "c.h5ad"
    anndata.AnnData(np.array([[1.0, 2], [3, 4]]), obs=obs).write_h5ad(path)

    assert list(read_counts(path).samples["condition"]) == ["x", "y"]
    chosen = read_counts(path, write("s.csv", "s,condition\nb,z\n"))
    np.testing.assert_array_equal(chosen.counts.X, [[3, 4]])
    assert list(chosen.samples["condition"]) == list(chosen.counts.obs["condition"]) == ["z"]
    assert chosen.ignored == ("a",)


def test_where_genes_have_the_names_of_samples_the_side_of_samples_alone_is_theirs(write):
    by_samples = read_counts(write("c.csv", "s,a,b,c\na,1,2,3\nb,4,5,6\n"), write("s.csv", SAMPLES))
    by_genes = read_counts(write("c.csv", "gene,a,b\na,1,4\nb,2,5\nc,3,6\n"), write("s.csv", SAMPLES))

    assert by_samples.counts.to_dict("index") == by_genes.counts.to_dict("index")
    assert by_genes.counts.loc["a"].to_dict() == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("counts", "samples", "what"),
    [
        ("gene,a,b\na,1,2\nb,3,4\n", SAMPLES, "names 2 samples both in rows and in columns"),
        ("gene,a,b\n", SAMPLES, "holds no counts"),
        ("gene,a\ng1,1\n", SAMPLES, "has no sample 'b' of"),
        ("gene,a,b\ng1,1,many\n", SAMPLES, "column 'b' holds text, not counts"),
        ("gene,a,b\ng1,1,2\n", "s,x\na,1\na,2\n", "names sample 'a' more than once"),
        ("gene,a,b\ng1,1,2\n", "s\na\nb\n", "holds no samples, or nothing about them"),
        ("gene,a,b\ng1,True,2\n", SAMPLES, "column 'a' holds text, not counts"),
        ("sample,condition,g1\na,x,1\nb,y,2\n", SAMPLES, "column 'condition' holds text, not counts"),
        ("gene,a,b\ng1,1,2\n", "s,x,x\na,1,2\nb,1,2\n", "names column 'x' more than once"),
        ("gene,a,b\ng1,1,2\n", "s,x\na,1\n,2\n", "has a row without a name"),
        ("", SAMPLES, "cannot be read as a table"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_file(write, counts, samples, what):
    with pytest.raises(InputError, match=what):
        read_counts(write("c.csv", counts), write("s.csv", samples))


def test_missing_files_are_told(tmp_path, write):
    with pytest.raises(InputError, match="no such file"):
        read_samples(tmp_path / "none.csv")
    with pytest.raises(InputError, match="says nothing of its samples"):
        read_counts(write("c.csv", "gene,a\ng,1\n"))
