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


def test_names_of_numbers_are_names(write):
    found = read_counts(write("c.csv", "gene,1,02\ng,5,6\n"), write("s.csv", "s,x\n02,u\n1,v\n"))
    assert found.counts["g"].to_dict() == {"02": 6, "1": 5}


def test_an_h5ad_file_brings_its_samples_or_takes_others(tmp_path, write):
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"condition": ["x", "y"]}, index=["a", "b"])
    path = tmp_path / "c.h5ad"
    anndata.AnnData(np.array([[1.0, 2], [3, 4]]), obs=obs).write_h5ad(path)

    assert list(read_counts(path).samples["condition"]) == ["x", "y"]
    chosen = read_counts(path, write("s.csv", "s,condition\nb,z\n"))
    np.testing.assert_array_equal(chosen.counts.X, [[3, 4]])
    assert list(chosen.samples["condition"]) == ["z"]
    assert chosen.ignored == ("a",)


@pytest.mark.parametrize(
    ("counts", "samples", "what"),
    [
        ("gene,a\ng1,1\n", SAMPLES, "has no sample b of"),
        ("gene,a,b\ng1,1,many\n", SAMPLES, "column 'b' holds text, not counts"),
        ("gene,a,b\ng1,1,2\n", "s,x\na,1\na,2\n", "names sample 'a' more than once"),
        ("gene,a,b\ng1,1,2\n", "s\na\nb\n", "holds no samples, or nothing about them"),
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
