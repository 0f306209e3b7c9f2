import numpy as np
import pandas as pd
import pytest

from diffbio_core.sources.labels import Labels, safe_decode_array, stack_labels


def test_labels_are_places_in_a_sorted_vocabulary():
    labels = Labels.of(["b", "a", "b", "c"])

    assert labels.categories.tolist() == ["a", "b", "c"]
    assert labels.codes.tolist() == [1, 0, 1, 2]
    assert labels.names.tolist() == ["b", "a", "b", "c"]
    assert (labels.code("c"), labels.code("d"), labels.code("")) == (2, None, None)
    assert labels.isin(["a", "c", "absent"]).tolist() == [False, True, False, True]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_labels_are_counted(missing):
    with pytest.raises(ValueError, match="2 of 3 are missing, first that of 1"):
        Labels.of(np.array(["a", missing, missing], dtype=object))


def test_stacked_labels_mean_the_same_everywhere():
    stacked = stack_labels([Labels.of(["b", "c"]), Labels.of(["a", "c"])])

    assert stacked.categories.tolist() == ["a", "b", "c"]
    assert stacked.names.tolist() == ["b", "c", "a", "c"]


def test_bytes_are_decoded_and_numbers_written_out():
    assert safe_decode_array([b"caf\xc3\xa9", b"\xffA"]).tolist() == ["café", "A"]
    assert safe_decode_array([1, 2]).tolist() == ["1", "2"]


def test_numbers_are_sorted_as_numbers_also_over_several_files():
    assert Labels.of([10, 2, 2]).categories.tolist() == ["2", "10"]
    assert stack_labels([Labels.of([10, 2]), Labels.of([3])]).categories.tolist() == ["2", "3", "10"]
    assert stack_labels([Labels.of([10, 2]), Labels.of(["3"])]).categories.tolist() == ["10", "2", "3"]


def test_codes_into_a_vocabulary_in_any_order_become_places_in_the_sorted_one():
    labels = Labels.coded(np.array([2, 0, 2]), ["b", "c", "a"])

    assert labels.names.tolist() == ["a", "b", "a"]
    assert labels.categories.tolist() == ["a", "b"]
    assert labels.codes.tolist() == [0, 1, 0]


def test_a_number_is_one_label_however_files_keep_it():
    stacked = stack_labels([Labels.of([10, 2]), Labels.of([2.0, 2.5])])

    assert stacked.categories.tolist() == ["2", "2.5", "10"]
    assert stacked.names.tolist() == ["10", "2", "2", "2.5"]
