"""A generator drawn in a thread of its own."""

import threading

import pytest

from diffbio_cluster.executors.ahead import Ahead


def test_items_come_in_their_order():
    with Ahead(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))


def test_no_more_wait_than_are_allowed():
    drawn = []
    held = threading.Event()

    def draw():
        for item in range(100):
            drawn.append(item)
            if len(drawn) == 4:
                held.set()
            yield item

    with Ahead(draw(), 3) as items:
        assert held.wait(10)
        assert len(drawn) == 4  # three wait, and one that has no place yet
        assert list(items) == list(range(100))


def test_a_fault_comes_after_the_items_before_it():
    def draw():
        yield 1
        raise ValueError("broken")

    with Ahead(draw(), 3) as items:
        taken = iter(items)
        assert next(taken) == 1
        with pytest.raises(ValueError, match="broken"):
            next(taken)


def test_the_generator_is_closed_where_it_was_drawn_when_nobody_takes_any_more():
    closed_in = []

    def draw():
        try:
            yield from range(100)
        finally:
            closed_in.append(threading.current_thread().name)

    with Ahead(draw(), 3) as items:
        for item in items:
            if item == 5:
                break
    assert closed_in == ["ahead"]
