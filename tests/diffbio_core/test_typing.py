import jax
import numpy as np
import pytest

from diffbio_core.typing import PADDED_POSITION, Batch, Element


def test_both_ways_to_make_a_batch_stack_the_samples():
    elements = [Element({"x": np.array([1.0, 2.0])}, {"n": np.array(index)}, {"name": index}) for index in range(3)]

    for batch in (Batch(elements), Batch.from_elements(elements)):
        assert batch.data["x"].tolist() == [[1, 2]] * 3
        assert batch.state["n"].tolist() == [0, 1, 2]
        assert [element.metadata["name"] for element in batch] == [0, 1, 2]
        assert len(batch) == batch.batch_size == len(batch.elements) == 3


def test_ragged_reads_are_padded_and_masked():
    def sample(num_reads, read_length):
        return Element({"reads": np.ones((num_reads, read_length, 4)), "positions": np.arange(num_reads)})

    batch = Batch([sample(2, 3), sample(1, 2)])

    assert batch.data["reads"].shape == (2, 2, 3, 4)
    assert batch.data["reads"].sum() == (6 + 2) * 4
    assert batch.data["positions"].tolist() == [[0, 1], [0, PADDED_POSITION]]
    assert batch.data["read_mask"].tolist() == [[[1, 1, 1], [1, 1, 1]], [[1, 1, 0], [0, 0, 0]]]


def test_even_samples_get_no_mask():
    batch = Batch([Element({"reads": np.ones((2, 3, 4))})] * 2)

    assert set(batch.data) == {"reads"}


def test_a_batch_passes_through_jit():
    batch = Batch([Element({"x": np.array([1.0])}, metadata={"name": "a"})])

    doubled = jax.jit(lambda batch: jax.tree.map(lambda leaf: 2 * leaf, batch))(batch)

    assert doubled.data["x"].tolist() == [[2.0]]
    assert doubled.metadata == ({"name": "a"},)


def test_arrays_of_a_batch_come_as_a_dict_and_by_get_value():
    batch = Batch([Element({"x": np.array([1.0]), "a": np.array([2.0])})] * 2)

    through_jit = jax.jit(lambda data: {**data, "y": data["x"] + data["a"]})(batch.data)
    mapped = jax.tree.map(lambda leaf: 2 * leaf, batch.data)

    assert type(batch.data.get_value()) is dict
    assert batch.data.get_value()["x"].tolist() == [[1], [1]]
    assert through_jit["y"].tolist() == [[3], [3]]
    assert mapped.get_value()["a"].tolist() == [[4], [4]]
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(batch.data)] == [
        "['a']",
        "['x']",
    ]
    assert type(batch[0].data) is dict


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([], "at least one element"),
        ([Element({"x": np.zeros(1)}), Element({"y": np.zeros(1)})], r"element 1 has keys \['y'\]"),
        ([Element({"x": np.zeros(1)}), Element({"x": np.zeros((1, 1))})], "x has shapes"),
    ],
)
def test_samples_that_do_not_fit_together_are_refused(elements, message):
    with pytest.raises(ValueError, match=message):
        Batch(elements)


def test_parts_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="same leading axis"):
        Batch.from_parts({"x": np.zeros(2), "y": np.zeros(3)})
    with pytest.raises(ValueError, match="metadata has 1 entries for 2 samples"):
        Batch.from_parts({"x": np.zeros(2)}, metadata=[None])
