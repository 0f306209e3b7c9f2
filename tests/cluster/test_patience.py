"""The limit of a task follows from those that have ended."""

from diffbio_cluster.patience import Patience


def test_before_a_task_has_ended_there_is_time_to_start():
    patience = Patience(30.0)
    assert patience.usual is None
    assert patience.limit == 120.0


def test_quick_tasks_leave_the_least_limit_and_slow_ones_raise_it():
    patience = Patience(30.0)
    for _ in range(10):
        patience.ended(1.0)
    assert (patience.usual, patience.limit) == (1.0, 30.0)
    for _ in range(90):
        patience.ended(20.0)
    assert (patience.usual, patience.limit) == (20.0, 80.0)


def test_one_task_that_hung_for_long_does_not_make_the_limit_long():
    patience = Patience(30.0)
    for seconds in [10.0] * 50 + [3600.0]:
        patience.ended(seconds)
    assert patience.limit == 40.0
