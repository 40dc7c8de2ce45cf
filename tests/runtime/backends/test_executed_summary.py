"""Stored and executed precision of a network, in a few words."""

import pytest

from sdrt.backends.executed import NetworkRecord, Retry


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"int8": 0.93, "bf16": 0.07}, "int8 93 %, bf16 7 %"),
        ({"bf16": 0.999, "fp32": 0.001}, "bf16"),
        ({"fp32": 1.0}, "fp32"),
        ({}, "unknown"),
    ],
)
def test_a_summary_has_the_shares_that_matter(shares: dict[str, float], expected: str) -> None:
    executed = next(iter(shares), "unknown")
    assert NetworkRecord("int8", executed, shares).summary() == expected


def test_a_summary_says_what_failed() -> None:
    retried = Retry("bf16", "step 3 of 20")
    assert NetworkRecord("bf16", "fp32", {"fp32": 1.0}, retried=retried).summary() == (
        "fp32 (bf16 failed)"
    )
