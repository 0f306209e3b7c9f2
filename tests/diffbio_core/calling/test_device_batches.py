"""Views of several threads in batches of one size."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diffbio_core.calling.device_batches import DeviceBatches
from diffbio_core.candidates.views import CandidateViews


def numbered(numbers, rows=4):
    views = CandidateViews.empty(len(numbers), rows)
    views.length[:] = numbers
    return views


class Device:
    """Gives every view three times its number, and notes what it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, views):
        self.batches.append((views["group"].shape, views["length"].tolist()))
        return np.repeat(views["length"].astype(np.float32)[:, None], 3, axis=1)


def test_views_come_back_in_their_order_whatever_the_batches():
    device = Device()
    batches = DeviceBatches(device, 8)
    found = batches.submit(numbered(range(21))).result(timeout=30)
    np.testing.assert_array_equal(found, np.repeat(np.arange(21.0)[:, None], 3, axis=1))
    assert [shape for shape, _ in device.batches] == [(8, 4)] * 3


def test_threads_share_batches_but_only_views_of_one_number_of_rows():
    device = Device()
    batches = DeviceBatches(device, 16)
    parts = [(list(range(7 * part, 7 * part + 7)), (4, 8)[part % 2]) for part in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda part: batches.submit(numbered(*part)).result(timeout=30), parts))
    for (numbers, _), result in zip(parts, found, strict=True):
        assert result[:, 0].tolist() == numbers
    by_rows = {4: set(), 8: set()}
    for shape, numbers in device.batches:
        by_rows[shape[1]] |= set(numbers)
    assert by_rows[4] - {0} == {n for numbers, rows in parts if rows == 4 for n in numbers} - {0}
    assert by_rows[8] - {0} == {n for numbers, rows in parts if rows == 8 for n in numbers} - {0}


def test_no_views_need_no_device():
    device = Device()
    assert DeviceBatches(device, 8).submit(numbered([])).result(timeout=30).shape == (0, 3)
    assert not device.batches


def test_a_fault_of_the_device_reaches_whoever_waits_and_the_next_batch_runs():
    device = Device()

    def broken(views):
        if 13 in views["length"]:
            raise RuntimeError("out of memory")
        return device(views)

    batches = DeviceBatches(broken, 8)
    with pytest.raises(RuntimeError, match="out of memory"):
        batches.submit(numbered([13])).result(timeout=30)
    assert batches.submit(numbered([5])).result(timeout=30)[0, 0] == 5
