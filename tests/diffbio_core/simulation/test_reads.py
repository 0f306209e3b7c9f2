import dataclasses

import numpy as np
import pytest

from diffbio_core.simulation.coverage import Fragments
from diffbio_core.simulation.reads import ADAPTERS, SequencerBias, draw_read_pairs, slippage_odds
from diffbio_core.simulation.sequence import encode_bases, reverse_complement
from diffbio_core.simulation.sequencing import SequencingModel

CLEAN = SequencingModel(
    read_length=100,
    quality_level=80.0,
    error_scale=0.0,
    error_floor=0.0,
    indel_errors=0.0,
    oxidation=0.0,
    deamination=0.0,
    pcr_errors=0.0,
    slippage=0.0,
    systematic=0.0,
    stalls=0.0,
    foldbacks=0.0,
)


def random_sequence(length: int = 20_000, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)


def fragments(count: int, start: int = 1_000, length: int = 300, reverse: bool = False, times: int = 1) -> Fragments:
    return Fragments(
        np.full(count, start),
        np.full(count, length),
        np.full(count, reverse),
        np.full(count, times),
        np.full(count, -1),
        np.full(count, 0),
    )


def draw(sequence, pieces, model, seed=3):
    bias = SequencerBias.draw(model, np.random.default_rng(seed))
    return draw_read_pairs(sequence, pieces, model, bias, np.random.default_rng(seed + 1))


def test_clean_mates_read_both_ends_of_the_fragment():
    sequence = random_sequence()
    pairs = draw(sequence, fragments(1), CLEAN)
    assert np.array_equal(pairs.bases[0, 0], sequence[1_000:1_100])
    assert np.array_equal(pairs.bases[0, 1], reverse_complement(sequence[1_200:1_300]))


def test_reverse_fragment_swaps_the_ends():
    sequence = random_sequence()
    pairs = draw(sequence, fragments(1, reverse=True), CLEAN)
    assert np.array_equal(pairs.bases[0, 0], reverse_complement(sequence[1_200:1_300]))
    assert np.array_equal(pairs.bases[0, 1], sequence[1_000:1_100])


def test_short_fragment_ends_in_the_adapter():
    sequence = random_sequence()
    pairs = draw(sequence, fragments(1, length=80), CLEAN)
    assert np.array_equal(pairs.bases[0, 0, :80], sequence[1_000:1_080])
    assert np.array_equal(pairs.bases[0, 0, 80:], ADAPTERS[0, :20])
    assert np.array_equal(pairs.bases[0, 1, 80:], ADAPTERS[1, :20])


def test_fragment_with_an_unknown_base_gives_no_pair():
    sequence = random_sequence()
    sequence[1_150] = 4
    assert len(draw(sequence, fragments(3), CLEAN).bases) == 0


def test_chimera_goes_on_at_its_partner():
    sequence = random_sequence()
    chimera = dataclasses.replace(fragments(20), partner=np.full(20, 9_000), cut=np.full(20, 60))
    pairs = draw(sequence, chimera, CLEAN)
    assert np.all(pairs.bases[:, 0, :60] == sequence[1_000:1_060])
    forward = np.all(pairs.bases[:, 0, 60:] == sequence[9_000:9_040], axis=1)
    turned = np.all(pairs.bases[:, 0, 60:] == reverse_complement(sequence[9_200:9_240]), axis=1)
    assert np.all(forward ^ turned)
    assert 0 < forward.sum() < 20


def test_an_end_that_folds_back_goes_on_with_the_reverse_complement_of_what_lies_before_its_stem():
    sequence = random_sequence()
    stem = encode_bases("GCCTGATCGGTC")
    sequence[1_250:1_262], sequence[1_268:1_280] = stem, reverse_complement(stem)
    pairs = draw(sequence, fragments(200), dataclasses.replace(CLEAN, foldbacks=0.25))
    ends = 3 - pairs.bases[:, 1, ::-1]  # along the sequence
    folded = [row for row in ends if not np.array_equal(row, sequence[1_200:1_300])]
    assert len(folded) > 150
    for copied in (5, 20):
        # The stem's last bases, and behind them what is copied.
        last = np.concatenate([sequence[1_274:1_280], reverse_complement(sequence[1_250 - copied : 1_250])])
        found = [row for row in folded if np.array_equal(row[-last.size :], last)]
        assert found, copied
        assert all(np.array_equal(row[:-copied], sequence[1_180 + copied : 1_280]) for row in found)


def test_an_end_without_paired_bases_stays_as_it_is():
    sequence = np.tile(encode_bases("ACCA"), 500)
    pairs = draw(sequence, fragments(50), dataclasses.replace(CLEAN, foldbacks=1.0))
    assert np.all(pairs.bases[:, 0] == sequence[1_000:1_100])
    assert np.all(3 - pairs.bases[:, 1, ::-1] == sequence[1_200:1_300])


def test_oxidised_guanines_show_in_both_mates_with_low_quality():
    sequence = random_sequence()
    model = dataclasses.replace(CLEAN, oxidation=0.05)
    pairs = draw(sequence, fragments(300, length=100), model)
    expected = sequence[1_000:1_100]
    first, last = pairs.bases[:, 0], 3 - pairs.bases[:, 1, ::-1]
    changed = first != expected
    assert changed.sum() > 100
    assert np.array_equal(first, last)
    rows, columns = np.nonzero(changed)
    assert set(expected[columns]) == {2}
    assert set(first[changed]) == {3}
    assert np.mean(pairs.qualities[rows, 0, columns] < 25) == pytest.approx(0.8, abs=0.08)


def test_slipped_repeat_shifts_both_mates_alike():
    sequence = random_sequence()
    sequence[1_040:1_060] = 0
    sequence[[1_039, 1_060]] = 1
    pairs = draw(sequence, fragments(200, length=120), dataclasses.replace(CLEAN, slippage=1.0))
    first = np.argmax(pairs.bases[:, 0, 40:] != 0, axis=1)
    last = np.argmax(pairs.bases[:, 1, 60:] != 3, axis=1)
    assert np.array_equal(first, last)
    odds = slippage_odds(np.array([20]), np.array([1]))[0]
    assert np.mean(first != 20) == pytest.approx(odds, abs=0.1)
    assert {19, 20, 21} <= set(first.tolist())


@pytest.mark.parametrize(("gains", "sign"), [(0.0, -1), (1.0, 1)])
def test_slips_go_the_way_that_the_library_says(gains, sign):
    sequence = random_sequence()
    sequence[1_040:1_060] = 0
    sequence[[1_039, 1_060]] = 1
    model = dataclasses.replace(CLEAN, slippage=1.0, slippage_gains=gains, further_slippage=0.5)
    pairs = draw(sequence, fragments(3_000, length=140), model)
    change = np.argmax(pairs.bases[:, 0, 40:] != 0, axis=1) - 20
    slipped = change[change != 0]
    assert set(np.sign(slipped)) == {sign}
    assert np.mean(np.abs(slipped) > 1) == pytest.approx(0.5, abs=0.05)
    assert np.abs(slipped).max() <= 12


def test_homopolymers_slip_as_often_as_they_are_told_to():
    sequence = random_sequence()
    sequence[1_040:1_052] = 0
    sequence[[1_039, 1_052]] = 1
    model = dataclasses.replace(CLEAN, slippage=2.0, homopolymer_slippage=4.0, slippage_growth=0.7)
    pairs = draw(sequence, fragments(2_000, length=140), model)
    wrong = np.mean(np.argmax(pairs.bases[:, 0, 40:] != 0, axis=1) != 12)
    assert wrong == pytest.approx(8 * slippage_odds(np.array([12]), np.array([1]), 0.7)[0], abs=0.02)


def test_a_share_above_one_is_refused():
    with pytest.raises(ValueError, match=r"slippage_gains must lie between 0 and 1, got 1\.5"):
        SequencingModel(slippage_gains=1.5)


def test_odds_of_slippage_grow_with_the_repeat():
    odds = slippage_odds(np.array([6, 10, 14, 18]), np.ones(4, int))
    assert np.all(np.diff(odds) > 0)
    assert odds[0] < 0.005
    assert odds[-1] > 0.05


def test_errors_come_as_often_as_the_quality_says():
    sequence = random_sequence()
    model = dataclasses.replace(CLEAN, quality_level=20.0, error_scale=1.0)
    pairs = draw(sequence, fragments(4_000), model)
    wrong = pairs.bases[:, 0] != sequence[1_000:1_100]
    for low, high in ((12, 15), (16, 20)):
        chosen = (pairs.qualities[:, 0] >= low) & (pairs.qualities[:, 0] < high)
        said = np.mean(10.0 ** (-pairs.qualities[:, 0][chosen].astype(float) / 10.0))
        assert np.mean(wrong[chosen]) == pytest.approx(said, rel=0.25)


def test_misread_context_errs_on_one_strand_only():
    sequence = random_sequence()
    bias = SequencerBias.draw(CLEAN, np.random.default_rng(1))
    context = 0
    for base in sequence[1_040:1_050].tolist():
        context = context * 4 + base
    bias.misread[context] = 0.5
    rng = np.random.default_rng(2)
    forward = draw_read_pairs(sequence, fragments(400, length=100), CLEAN, bias, rng)
    wrong = np.mean(forward.bases[:, 0] != sequence[1_000:1_100], axis=0)
    assert wrong[50] == pytest.approx(0.5, abs=0.1)
    assert np.delete(wrong, 50).max() == 0.0
    assert np.all(3 - forward.bases[:, 1, ::-1] == sequence[1_000:1_100])


def test_misread_bases_lose_quality_as_much_as_their_context_is_doubted():
    sequence, context = random_sequence(), 0
    for base in sequence[1_040:1_050].tolist():
        context = context * 4 + base
    lost = []
    for doubt in (0.0, 1.0):
        bias = SequencerBias.draw(CLEAN, np.random.default_rng(1))
        bias.misread[context], bias.misread_doubt[context] = 1.0, doubt
        pairs = draw_read_pairs(sequence, fragments(100, length=100), CLEAN, bias, np.random.default_rng(2))
        qualities = pairs.qualities[:, 0].astype(int)
        lost.append(qualities[:, 50] - np.minimum(qualities[:, 49], qualities[:, 51]))
    assert lost[0].min() >= 0
    assert lost[1].mean() < -8


def test_lost_phase_lowers_quality_to_the_end_of_the_read():
    sequence = random_sequence()
    bias = SequencerBias.draw(CLEAN, np.random.default_rng(1))
    context = 0
    for base in sequence[1_030:1_040].tolist():
        context = context * 4 + base
    bias.stall[context] = 1.0
    pairs = draw_read_pairs(sequence, fragments(200), CLEAN, bias, np.random.default_rng(2))
    assert pairs.qualities[:, 0, 5:40].mean() > 40.0
    assert pairs.qualities[:, 0, 45:].mean() < 15.0
    assert np.all(pairs.bases[:, 0, :40] == sequence[1_000:1_040])
    assert np.mean(pairs.bases[:, 0, 45:] != sequence[1_045:1_100]) > 0.03


def test_duplicates_repeat_the_fragment_and_are_marked():
    sequence = random_sequence()
    pairs = draw(sequence, fragments(2, times=3), CLEAN)
    assert pairs.duplicate.tolist() == [False, True, True] * 2
    assert pairs.fragment.tolist() == [0, 0, 0, 1, 1, 1]


def test_binned_sequencer_reports_its_bins_only():
    model = SequencingModel(quality_bins=(2, 12, 23, 37))
    pairs = draw(random_sequence(), fragments(200), model)
    assert set(np.unique(pairs.qualities)) == {2, 12, 23, 37}


def test_quality_falls_towards_the_end_of_reads():
    pairs = draw(random_sequence(), fragments(2_000), SequencingModel(read_length=150))
    mean = pairs.qualities[:, 0].mean(axis=0)
    assert mean[20:40].mean() - mean[-10:].mean() > 1.0


def test_second_mates_are_a_little_worse():
    pairs = draw(random_sequence(), fragments(2_000), SequencingModel())
    assert pairs.qualities[:, 0].mean() > pairs.qualities[:, 1].mean()


def test_same_seed_gives_the_same_reads():
    sequence = random_sequence()
    first, same = (draw(sequence, fragments(50), SequencingModel()) for _ in range(2))
    assert np.array_equal(first.bases, same.bases)
    assert np.array_equal(first.qualities, same.qualities)


def test_no_fragments_give_no_pairs():
    assert draw(random_sequence(), fragments(0), SequencingModel()).bases.shape == (0, 2, 150)


def test_adapters_are_those_of_the_documents():
    assert np.array_equal(ADAPTERS[0, :12], encode_bases("AGATCGGAAGAG"))
