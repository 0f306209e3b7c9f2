"""Which reads are kept where more overlap than there are lanes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.reads.records import SET_ASIDE
from diffbio_core.reads.thinning import MAX_DEPTH, THINNED_DEPTH, Interval, IntervalReads, scan_pieces, scan_records
from tests.alignments import Sam, record_bytes, write_bam
from tests.random_reads import random_reads, random_reference

LENGTH = 20_000
DEEP = 10_000
"""Where the deep place starts; it is 600 bp long."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Some 1,500 pairs over 600 bp amid a shallow contig; half of the mates lie in the shallow part."""
    random = np.random.default_rng(11)
    reads = []
    for index in range(3000):
        start = DEEP + int(random.integers(0, 500))
        mate = start + 150 if index % 2 else start + 3000
        reads.append(Sam(start, "100M", name=f"p{index}", flag=0x41, mate=mate))
        reads.append(Sam(mate, "100M", name=f"p{index}", flag=0x81, mate=start))
    reads += [Sam(int(start), "100M", name=f"s{start}") for start in random.integers(0, LENGTH - 100, 1000)]
    return record_bytes(write_bam(tmp_path_factory.mktemp("deep") / "reads.bam", reads, {"c1": LENGTH}))


def interval(start=0, stop=LENGTH):
    return Interval(0, start, stop, start, stop)


def names(reads: IntervalReads) -> list[str]:
    """Names of the reads, in their order."""
    bounds = reads.offset + 32, reads.offset + 31 + reads.raw[reads.offset + 8]
    return [reads.raw[low:high].tobytes().decode() for low, high in zip(*bounds, strict=True)]


def kept(reads: IntervalReads) -> set[tuple[str, int]]:
    """Names and starts of the reads."""
    return set(zip(names(reads), reads.alignment_start.tolist(), strict=True))


def depth(reads: IntervalReads) -> np.ndarray:
    change = np.zeros(LENGTH + 1, int)
    np.add.at(change, reads.start, 1)
    np.add.at(change, reads.end, -1)
    return np.cumsum(change)


def test_a_deep_place_is_thinned_to_fewer_reads_than_lanes(raw):
    reads = scan_records(raw, interval())
    found = depth(reads)
    assert found.max() <= MAX_DEPTH
    assert 0.7 * THINNED_DEPTH < found[DEEP + 150 : DEEP + 350].mean() < 1.2 * THINNED_DEPTH
    assert reads.counts[SET_ASIDE.index("thinned")] + len(reads) == 7000


def test_no_read_is_thinned_outside_deep_places(raw):
    reads = scan_records(raw, interval(0, DEEP - 2000))
    assert reads.counts[SET_ASIDE.index("thinned")] == 0


def test_of_mates_in_places_of_one_depth_both_are_kept_or_none(tmp_path):
    reads = [
        Sam(start, "64M", name=f"p{index}", flag=flag, mate=3200 - start)
        for index in range(1000)
        for start, flag in ((1280, 0x41), (1920, 0x81))
    ]
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": LENGTH}))
    found = kept(scan_records(raw, interval()))
    assert {name for name, start in found if start == 1280} == {name for name, start in found if start == 1920}
    assert 100 < len(found) / 2 < MAX_DEPTH


def test_a_pair_kept_in_the_deep_place_is_kept_in_the_other(raw):
    found = kept(scan_records(raw, interval()))
    deep = {name for name, start in found if DEEP <= start < DEEP + 600}
    shallow = {name for name, start in found if start >= DEEP + 3000}
    pairs = {f"p{index}" for index in range(0, 3000, 2)}
    assert deep & pairs <= shallow
    assert deep & pairs < pairs


def test_what_is_kept_is_the_same_on_every_run(raw):
    assert kept(scan_records(raw, interval())) == kept(scan_records(raw.copy(), interval()))


@pytest.mark.parametrize("edge", [DEEP - 40, DEEP + 1, DEEP + 63, DEEP + 64, DEEP + 333, DEEP + 599])
def test_what_is_kept_does_not_depend_on_the_interval(raw, edge):
    whole = scan_records(raw, interval())
    for low, high in ((0, edge), (edge, LENGTH)):
        part = scan_records(raw, interval(low, high))
        inside = (whole.start < high) & (whole.end > low)
        assert names(part) == [name for name, wanted in zip(names(whole), inside, strict=True) if wanted]
        assert part.end.tolist() == whole.end[inside].tolist()


def pieces_of(raw, size):
    """Pieces of whole records, each of about a size, all in one buffer."""
    buffer = np.empty(raw.size, np.uint8)

    def pieces():
        begin = at = 0
        while at < raw.size:
            at += 4 + int(raw[at : at + 4].view("<i4")[0])
            if at - begin >= size or at == raw.size:
                buffer[: at - begin] = raw[begin:at]
                yield buffer[: at - begin]
                begin = at

    return pieces


@pytest.mark.parametrize("size", [1, 5000, 10**9])
def test_pieces_give_the_reads_of_the_whole(raw, size):
    assert_same(scan_pieces(pieces_of(raw, size), interval(9000, 12_000)), scan_records(raw, interval(9000, 12_000)))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_pieces_of_random_reads_give_those_of_the_whole(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 800)
    reads = random_reads(random, reference, int(random.integers(0, 900)))
    raw = record_bytes(write_bam(tmp_path_factory.mktemp("law") / "reads.bam", reads, {"c1": 800}))
    place = interval(*sorted(int(place) for place in random.integers(-100, 900, 2)))
    assert_same(scan_pieces(pieces_of(raw, int(random.integers(1, 30_000))), place), scan_records(raw, place))


def assert_same(pieces: IntervalReads, whole: IntervalReads) -> None:
    for name in ("start", "alignment_start", "end", "counts"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
    for one, other in zip(pieces.offset, whole.offset, strict=True):
        # Tags and the record's size, which tells of them, are left out.
        length = 32 + int(whole.raw[other + 8])
        assert pieces.raw[one : one + length].tobytes() == whole.raw[other : other + length].tobytes()


def test_no_pieces_at_all_give_no_reads():
    assert len(scan_pieces(lambda: iter(()), interval())) == 0
