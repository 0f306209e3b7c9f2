"""Problems and the error that holds them."""

import pickle

from diffbio_core.problems import InputError, Problem

PROBLEMS = Problem("b.bam", "is unsorted", "Sort it."), Problem("a.fa", "is empty", "Fill it.")


def test_a_problem_reads_as_subject_fault_and_remedy():
    assert str(PROBLEMS[0]) == "b.bam: is unsorted. Sort it."


def test_an_error_tells_every_problem_on_a_line_of_its_own_in_the_order_found():
    error = InputError(list(PROBLEMS))

    assert str(error) == "b.bam: is unsorted. Sort it.\na.fa: is empty. Fill it."
    assert error.problems == PROBLEMS


def test_an_error_comes_whole_from_another_process():
    back = pickle.loads(pickle.dumps(InputError(PROBLEMS)))

    assert isinstance(back, InputError)
    assert (back.problems, str(back)) == (PROBLEMS, str(InputError(PROBLEMS)))


def test_equal_problems_are_told_once_and_are_sorted_by_subject():
    assert len({*PROBLEMS, Problem("a.fa", "is empty", "Fill it.")}) == 2
    assert sorted(PROBLEMS) == [PROBLEMS[1], PROBLEMS[0]]
