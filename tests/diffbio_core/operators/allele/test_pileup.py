"""The allele-conditioned pileup counts what each group of reads shows, by hand-made reads."""

import numpy as np
import pytest

from diffbio_core.candidates.view_encoding import (
    DELETION_AFTER,
    DIFFERS,
    FLANK,
    INSERTION_AFTER,
    SUPPORTS,
    UNINFORMATIVE,
    WIDTH,
)
from diffbio_core.operators.allele.pileup import PILEUP_CHANNELS, SUMMARY_CHANNELS, AllelePileup
from diffbio_core.operators.base import OperatorConfig
from diffbio_core.windows.encoding import DELETED, NO_READ

MATCH, A, C, G, T, GAP, INSERTED_AFTER, DELETED_AFTER, SHARE, QUALITY = range(10)
SUPPORTS_FORWARD, SUPPORTS_REVERSE, DIFFERS_FORWARD, DIFFERS_REVERSE, CANNOT_TELL = range(5)


def group(role, reverse=0):
    return 1 + 2 * role + reverse


@pytest.fixture
def view():
    """Five reads of poly-A: two show a C at the centre, two do not, one cannot tell; the sixth row is empty."""
    symbol = np.zeros((6, WIDTH), np.uint8)
    symbol[0:2, FLANK] = 1
    symbol[5] = NO_READ
    return {
        "symbol": symbol,
        "base_quality": np.where(symbol == NO_READ, 0, 30).astype(np.uint8),
        "mapping_quality": np.array([60, 20, 60, 60, 0, 0], np.uint8),
        "group": np.array(
            [group(SUPPORTS), group(SUPPORTS, 1), group(DIFFERS), group(DIFFERS), group(UNINFORMATIVE, 1), 0], np.uint8
        ),
        "weight": np.ones((6, WIDTH), np.float32),
        "reference": np.zeros(WIDTH, np.uint8),
        "allele": np.where(np.arange(WIDTH) == FLANK, 1, 0).astype(np.uint8),
        "length": np.int32(0),
        "tract": np.int32(0),
        "crowd": np.int32(0),
        "rival": np.int32(0),
        "lengths": np.zeros(4, np.int32),
        "slippage": np.full(2, 0.004, np.float32),
    }


def piled(view):
    data, _, _ = AllelePileup(OperatorConfig()).apply(view, {}, None)
    pileup, summary = np.asarray(data["allele_pileup"]), np.asarray(data["allele_summary"])
    assert pileup.shape == (WIDTH, PILEUP_CHANNELS)
    assert summary.shape == (SUMMARY_CHANNELS,)
    return pileup[:, :50].reshape(WIDTH, 5, 10), pileup[:, 50:], summary


def test_each_group_shows_what_its_reads_show(view):
    cells, _, _ = piled(view)
    centre, beside = cells[FLANK], cells[FLANK + 1]
    assert centre[SUPPORTS_FORWARD, C] == centre[SUPPORTS_REVERSE, C] == pytest.approx(1 / 5)
    assert centre[DIFFERS_FORWARD, MATCH] == pytest.approx(2 / 5)
    assert centre[:, C].sum() == pytest.approx(2 / 5)
    assert beside[:, MATCH].sum() == pytest.approx(1)


def test_uninformative_reads_of_both_strands_are_one_group(view):
    view["group"][3] = group(UNINFORMATIVE, 0)
    cells, _, _ = piled(view)
    assert cells[FLANK, CANNOT_TELL, SHARE] == pytest.approx(2 / 5)


def test_weights_scale_symbols_but_not_the_share_of_reads(view):
    view["weight"][0] = 0.25
    cells, _, _ = piled(view)
    assert cells[FLANK, SUPPORTS_FORWARD, C] == pytest.approx(0.25 / 5)
    assert cells[FLANK, SUPPORTS_FORWARD, SHARE] == pytest.approx(1 / 5)


def test_deleted_bases_and_what_follows_a_column_have_channels_of_their_own(view):
    view["symbol"][2, FLANK] = INSERTION_AFTER
    view["symbol"][3, FLANK] = DELETION_AFTER
    view["symbol"][3, FLANK + 1] = DELETED
    cells, _, _ = piled(view)
    centre = cells[FLANK, DIFFERS_FORWARD]
    assert (centre[MATCH], centre[INSERTED_AFTER], centre[DELETED_AFTER]) == pytest.approx((2 / 5, 1 / 5, 1 / 5))
    assert cells[FLANK + 1, DIFFERS_FORWARD, GAP] == pytest.approx(1 / 5)


def test_base_qualities_are_summed_in_units_of_40(view):
    cells, _, _ = piled(view)
    assert cells[FLANK, DIFFERS_FORWARD, QUALITY] == pytest.approx(2 * 30 / 40 / 5)


def test_reference_and_allele_stand_beside_the_reads(view):
    _, spelled, _ = piled(view)
    assert spelled[FLANK].tolist() == [1, 0, 0, 0, 0, 1, 0, 0]
    assert spelled[0].tolist() == [1, 0, 0, 0, 1, 0, 0, 0]


def test_the_summary_holds_shares_mapping_qualities_and_depth(view):
    _, _, summary = piled(view)
    assert summary[:5] == pytest.approx([1 / 5, 1 / 5, 2 / 5, 0, 1 / 5])
    assert summary[10:15] == pytest.approx([1, 20 / 60, 1, 0, 0])
    assert summary[15] == pytest.approx(5 / 50)


def test_a_view_without_reads_is_finite(view):
    view["group"][:] = 0
    view["symbol"][:] = NO_READ
    cells, _, summary = piled(view)
    assert not cells.any()
    assert np.isfinite(summary).all()
