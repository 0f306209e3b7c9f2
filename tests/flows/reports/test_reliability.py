"""Bands of QUAL and GQ against errors."""

import pytest

from diffbio_flows.reports.reliability import JudgedCall, reliability


def test_a_call_counts_in_its_bands_with_the_error_that_it_states():
    calls = [
        JudgedCall("SNP", 12.0, 99.0, False, True),
        JudgedCall("SNP", 14.0, 61.0, True, True),
        JudgedCall("INDEL", 10.0, 3.0, False, False),
    ]
    found = reliability(iter(calls))
    assert found["qual"] == [
        {"kind": "SNP", "from": 10, "records": 2, "errors": 1, "expected": pytest.approx(10**-1.2 + 10**-1.4)},
        {"kind": "INDEL", "from": 10, "records": 1, "errors": 0, "expected": pytest.approx(0.1)},
    ]
    # All from 60 on are one band.
    assert [(band["kind"], band["from"], band["errors"]) for band in found["gq"]] == [("SNP", 60, 2), ("INDEL", 0, 0)]
