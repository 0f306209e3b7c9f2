import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbio_core.samplers.perturbation_sampler import PerturbationBatchSampler, PerturbationSamplerConfig


@given(
    groups=st.lists(st.integers(0, 4), max_size=40),
    size=st.integers(1, 6),
    per_batch=st.integers(1, 3),
    epoch=st.integers(0, 2),
)
def test_every_cell_comes_once_in_sentences_of_one_group(groups, size, per_batch, epoch):
    groups, cells = np.array(groups, dtype=int), 100 + np.arange(len(groups))
    config = PerturbationSamplerConfig(sentence_size=size, sentences_per_batch=per_batch)
    sampler = PerturbationBatchSampler(config, groups, cells)
    sampler.set_epoch(epoch)

    batches = list(sampler)

    assert len(batches) == len(sampler)
    assert sorted(cell for batch in batches for cell in batch) == cells.tolist()
    sentences = -(-np.bincount(groups, minlength=1) // size)
    assert len(batches) == -(-sentences.sum() // per_batch)
    assert all(len(batch) <= size * per_batch for batch in batches)
    if per_batch == 1:
        assert all(len({groups[cell - 100] for cell in batch}) == 1 for batch in batches)


def test_the_order_is_that_of_seed_and_epoch():
    groups = np.repeat(np.arange(20), 3)

    def order(seed, epoch):
        sampler = PerturbationBatchSampler(PerturbationSamplerConfig(sentence_size=3, seed=seed), groups)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert sorted(map(sorted, order(1, 0))) == sorted(map(sorted, order(1, 1)))


def test_groups_are_thinned_and_a_last_batch_dropped_where_asked():
    groups = np.array([0] * 10 + [1] * 2)

    thinned = PerturbationBatchSampler(PerturbationSamplerConfig(downsample_cells=4), groups)
    dropped = PerturbationBatchSampler(
        PerturbationSamplerConfig(sentence_size=4, sentences_per_batch=3, drop_last=True), groups
    )

    assert sorted(map(len, thinned)) == [2, 4]
    assert len(dropped) == len(list(dropped)) == 1


def test_cells_and_groups_must_be_as_many():
    with pytest.raises(ValueError, match="3 group codes for 2 cells"):
        PerturbationBatchSampler(PerturbationSamplerConfig(), np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match="sentence_size"):
        PerturbationSamplerConfig(sentence_size=0)
