"""Settings of a simulated run."""

from dataclasses import fields

import pytest

from diffbio_core.simulation.sequencing import BINNED_QUALITIES, SequencingModel

RATES = [field.name for field in fields(SequencingModel) if field.name != "quality_bins"]


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_a_rate_that_is_negative_or_no_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a number of 0 or more, got {value}"):
        SequencingModel(**{name: value})


@pytest.mark.parametrize("name", [name for name in RATES if name not in ("read_length", "fragment_mean")])
def test_a_rate_of_zero_leaves_its_effect_out(name):
    assert getattr(SequencingModel(**{name: 0}), name) == 0


@pytest.mark.parametrize(("name", "told"), [("read_length", "29 and 380"), ("fragment_mean", "150 and 29")])
def test_reads_and_fragments_have_at_least_30_bp(name, told):
    assert getattr(SequencingModel(**{name: 30}), name) == 30
    with pytest.raises(ValueError, match=f"must be at least 30 bp, got {told}"):
        SequencingModel(**{name: 29})


@pytest.mark.parametrize("bins", [(12, 2), (2, 2), (2, 37, 23)])
def test_qualities_that_do_not_rise_are_refused(bins):
    with pytest.raises(ValueError, match=r"quality_bins must rise, got \("):
        SequencingModel(quality_bins=bins)


@pytest.mark.parametrize("bins", [(), (37,), *BINNED_QUALITIES.values()])
def test_known_sequencers_and_those_without_bins_are_taken(bins):
    assert SequencingModel(quality_bins=bins).quality_bins == bins
