"""Every epoch shows every window, in an order of its own, whoever asks for which leaf."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from diffbio_flows.training.schedule import BatchShape, Schedule

SHAPE = BatchShape(leaves=4, windows=2, open_pieces=2)


def shown(schedule, epoch):
    steps = range(epoch * schedule.steps_per_epoch, (epoch + 1) * schedule.steps_per_epoch)
    leaves = [schedule.leaf(step, place) for step in steps for place in range(SHAPE.leaves)]
    assert {leaf.epoch for leaf in leaves} == {epoch}
    return [(piece.shard, window) for leaf in leaves for piece, window in leaf.windows]


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 9))
def test_leaves_hold_windows_of_their_shards(sizes, seed):
    schedule = Schedule([range(size) for size in sizes], [1.0] * len(sizes), SHAPE, seed)
    for shard, window in shown(schedule, 1):
        assert window < sizes[shard]


def test_an_epoch_shows_nearly_all_windows_once():
    schedule = Schedule([range(64)] * 16, [1.0] * 16, SHAPE, 3)
    counts = Counter(shown(schedule, 0))
    assert set(counts.values()) == {1}
    assert len(counts) == 16 * 64
    assert shown(schedule, 0) != shown(schedule, 1)


def test_a_weight_shows_a_shard_more_or_less_often():
    schedule = Schedule([range(64)] * 16, [2.0] * 8 + [0.5] * 8, SHAPE, 3)
    counts = Counter(shard for epoch in range(8) for shard, _ in shown(schedule, epoch))
    often = sum(counts[shard] for shard in range(8)) / sum(counts.values())
    assert 0.75 < often < 0.85


def test_the_order_follows_from_the_seed():
    first, again, other = (Schedule([range(64)] * 4, [1.0] * 4, SHAPE, seed) for seed in (1, 1, 2))
    assert shown(first, 2) == shown(again, 2) != shown(other, 2)


def test_what_is_needed_next_is_told_ahead():
    schedule = Schedule([range(64)] * 16, [1.0] * 16, SHAPE, 3)
    known = set()
    for step in range(schedule.steps_per_epoch):
        leaf = schedule.leaf(step, 1)
        assert step == 0 or {piece for piece, _ in leaf.windows} <= known
        known |= set(leaf.ahead)
