"""Sheets of samples as spreadsheets save them."""

from pathlib import Path

import pytest

from diffbio_core.problems import InputError
from diffbio_io.sample_sheet import path_in_sheet, read_sample_sheet

REQUIRED, OPTIONAL = ("sample", "reads"), ("sex",)


def read(tmp_path, content):
    file = tmp_path / "sheet.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_sample_sheet(file, REQUIRED, OPTIONAL)


def refused(tmp_path, content):
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    return [(problem.subject.removeprefix(f"{tmp_path}/"), problem.what) for problem in error.value.problems]


@pytest.mark.parametrize(
    "content",
    [
        "sample,reads,sex\nA,a.bam,male\nB,b.bam,\n",
        "\ufeffSample;Reads;Sex\r\nA; a.bam ;male\r\nB;b.bam\r\n;;\r\n",
        "reads\tsex\tsample\t\n# a remark\na.bam\tmale\tA\t\n\nb.bam\t\tB\t\n",
        '"sample","reads","sex"\n"A","a.bam","male"\n"B","b.bam",""\n',
        "sample,reads,sex\nA,a.bam,male\nB,b.bam,\n".encode("utf-16"),
    ],
)
def test_what_spreadsheets_save_is_read(tmp_path, content):
    rows = read(tmp_path, content)
    assert [dict(row.values) for row in rows] == [
        {"sample": "A", "reads": "a.bam", "sex": "male"},
        {"sample": "B", "reads": "b.bam", "sex": ""},
    ]


def test_every_fault_of_the_columns_is_told(tmp_path):
    assert refused(tmp_path, "sample,bam,bam\nA,a,a\n") == [
        ("sheet.csv, line 1", "has no column 'reads'"),
        ("sheet.csv, line 1", "has a column 'bam' that is not known"),
        ("sheet.csv, line 1", "has a column 'bam' that is not known"),
        ("sheet.csv, line 1", "names column 'bam' twice"),
    ]


def test_every_line_that_is_not_whole_is_told(tmp_path):
    assert refused(tmp_path, "sample,reads\n\nA,\nB,b.bam,male\n,c.bam\n") == [
        ("sheet.csv, line 3", "says nothing in column 'reads'"),
        ("sheet.csv, line 4", "has 3 cells, but the sheet has 2 columns"),
        ("sheet.csv, line 5", "says nothing in column 'sample'"),
    ]


@pytest.mark.parametrize(("content", "what"), [("", "is empty"), ("sample,reads\n", "names no sample")])
def test_a_sheet_without_samples_is_refused(tmp_path, content, what):
    assert refused(tmp_path, content) == [("sheet.csv", what)]


def test_paths_are_meant_from_the_sheets_folder_on():
    assert path_in_sheet("a/b.bam", "/data/sheet.csv") == Path("/data/a/b.bam")
    assert path_in_sheet("/x/b.bam", "/data/sheet.csv") == Path("/x/b.bam")
