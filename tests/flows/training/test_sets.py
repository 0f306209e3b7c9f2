"""A file of sets is taken as it is meant, or refused with every fault by name."""

import pytest

from diffbio_core.problems import InputError
from diffbio_flows.training.sets import read_sets


def write(folder, text):
    path = folder / "sets.toml"
    path.write_text(text)
    return path


def test_paths_are_taken_from_the_files_folder_and_names_from_stores(tmp_path):
    path = write(
        tmp_path,
        '[[set]]\nstore = "one.zarr"\ntruth = "t.vcf"\nconfident = "/c.bed"\ndepth = [5, 30]\n'
        '[[set]]\nname = "two"\nstore = "s3://bucket/w.zarr"\ntruth = "t.vcf"\nconfident = "c.bed"\nweight = 0.5\n',
    )
    one, two = read_sets(path)
    assert (one.title, one.store, one.truth) == ("one", str(tmp_path / "one.zarr"), tmp_path / "t.vcf")
    assert (str(one.confident), one.depth) == ("/c.bed", (5.0, 30.0))
    assert (two.title, two.store, two.weight) == ("two", "s3://bucket/w.zarr", 0.5)


def test_every_fault_is_named(tmp_path):
    path = write(
        tmp_path,
        '[[set]]\nstore = "a"\ntruth = "t"\nconfident = "c"\nwieght = 2\n'
        '[[set]]\nstore = "b"\ntruth = "t"\ndepth = [30, 5]\nconfident = "c"\n[[set]]\nstore = "c"\ntruth = "t"\n',
    )
    with pytest.raises(InputError) as told:
        read_sets(path)
    text = str(told.value)
    assert "set 1 has an unknown key 'wieght'. Known keys are name, store, truth" in text
    assert "set 2: depth must be [least, greatest], got" in text
    assert "set 3 lacks 'confident'" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "the file lacks .set."), ("[[set]", "cannot be read as TOML"), ("sets = 1", "unknown key 'sets'")],
)
def test_what_is_no_file_of_sets_is_refused(text, told, tmp_path):
    with pytest.raises(InputError, match=told):
        read_sets(write(tmp_path, text))


def test_two_sets_of_one_name_are_refused(tmp_path):
    one = '[[set]]\nstore = "a"\ntruth = "t"\nconfident = "c"\n'
    with pytest.raises(InputError, match="several sets are called 'a'"):
        read_sets(write(tmp_path, one * 2))
