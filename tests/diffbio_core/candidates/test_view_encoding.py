"""The bits of a view's cells."""

from diffbio_core.candidates.view_encoding import (
    DELETION_AFTER,
    DIFFERS,
    FLANK,
    INSERTION_AFTER,
    SUPPORTS,
    UNINFORMATIVE,
    WIDTH,
)
from diffbio_core.windows.encoding import CODE_MASK, NO_READ
from diffbio_core.windows.grid import MIN_HALO


def test_a_symbol_and_a_group_can_be_taken_apart_again():
    symbols = {
        code | insertion | deletion
        for code in range(NO_READ + 1)
        for insertion in (0, INSERTION_AFTER)
        for deletion in (0, DELETION_AFTER)
    }
    assert len(symbols) == 4 * (CODE_MASK + 1)
    assert max(symbols) < 256
    groups = {1 + 2 * role + strand for role in (SUPPORTS, DIFFERS, UNINFORMATIVE) for strand in (0, 1)}
    assert groups == set(range(1, 7))


def test_the_candidate_s_column_is_the_middle_of_its_view_and_the_view_fits_into_every_halo():
    assert FLANK == WIDTH - 1 - FLANK
    assert FLANK <= MIN_HALO
