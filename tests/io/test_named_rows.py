import gzip

import numpy as np
import pytest

from diffbio_core.problems import InputError
from diffbio_io.named_rows import read_named_rows

EXPECTED = {"a": {"01": 1, "NA": 3}, "b": {"01": 2, "NA": 4}}
PLAIN = "gene,a,b\n01,1,2\nNA,3,4\n"


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        path = tmp_path / "table"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_named_rows(path, "Give a table.", **options)

    return read


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("gene", ""),
        PLAIN.replace("gene,", ""),
        PLAIN.replace("gene,", "").replace(",", "\t"),
        PLAIN.replace(",", ";"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", ",,\n") + ",,,,\n",
        PLAIN.replace("NA", '"NA"').replace("gene,a", '"gene","a"'),
        "\n" + PLAIN.replace("\n", "\n\n"),
        '# Program:featureCounts v2; Command:"a" "b,c"\n' + PLAIN.replace(",", "\t"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-8-sig"),
        gzip.compress(PLAIN.encode(), mtime=0),
    ],
)
def test_names_are_as_they_are_written_however_the_table_is_laid(read, text):
    assert read(text).to_dict() == EXPECTED
    assert read(text, mixed=True).to_dict() == EXPECTED


def test_names_with_marks_and_spaces_stay(read):
    found = read('gene, a,"b,c",a.1,1.10\n"x ""y""",1,2,3,4\n"line\nbreak",5,6,7,8\n')
    assert list(found.columns) == [" a", "b,c", "a.1", "1.10"]
    assert list(found.index) == ['x "y"', "line\nbreak"]


def test_a_header_of_one_name_has_the_separator_of_the_next_line(read):
    assert read("a\n01,1\n").to_dict() == {"a": {"01": 1}}


def test_rows_that_are_cut_off_miss_values(read):
    np.testing.assert_array_equal(read("gene,a,b\ng,1,2\nh,3\n"), [[1, 2], [3, np.nan]])


def test_a_comma_is_the_point_of_numbers_where_semicolons_separate(read):
    assert read("s;dose\na;0,5\nb;12\n", mixed=True)["dose"].tolist() == [0.5, 12]
    assert read("s;code\na;0,5\nb;1,2,3\n", mixed=True)["code"].tolist() == ["0,5", "1,2,3"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gene,a\ng,1,2,3\n", "its first row has 4 cells, the header 2"),
        ("\ngene,a\ng,1\nh,1,2\n", "Expected 2 fields in line 4, saw 3"),
        ('gene,a\n"g,1\n', "EOF inside string"),
        ("gene,é\ng,1\n".encode("latin-1"), "is no text in UTF-8 .*Save it as UTF-8"),
        (b"PK\3\4 and more", "is compressed with zip"),
        ("\n\n", "it is empty"),
    ],
)
def test_what_is_no_table_is_refused(read, text, told):
    with pytest.raises(InputError, match=told):
        read(text)
