"""Fleets are computed from what one machine does."""

from dataclasses import replace
from pathlib import Path

import pytest

from sdrt.batch.planning import Measured, Setting, Work, fewest_machines, fleet, settings
from sdrt.cores import placement
from sdrt.errors import UsageError
from tests.machines import tree, two_sockets

# Two processes that make a picture each in ten seconds, after half a minute to start.
ONE = Measured(Setting(2, 4), seconds=10, start_s=30, pictures=1, picture_bytes=500_000)
WORK = Work(
    images=10_000, picture_bytes=500_000, model_bytes=10**9, machine_rate=1e9, store_rate=1e10
)


def test_a_machine_fetches_starts_and_computes() -> None:
    alone = fleet(1, WORK, ONE)
    assert (alone.fetching, alone.starting, alone.computing) == (1, 30, 50_000)
    assert alone.seconds == 1 + 30 + 50_000
    assert alone.bound == "computing"


def test_the_last_round_is_a_whole_one() -> None:
    """Three pictures take as long as four where two are made at once."""
    assert fleet(1, replace(WORK, images=3), ONE).computing == 20
    assert fleet(4000, WORK, ONE).computing == 20
    assert fleet(20_000, WORK, ONE).computing == 10


def test_a_store_has_to_feed_all_machines() -> None:
    many = fleet(1000, WORK, ONE)
    assert many.fetching == 100
    assert many.bound == "fetching the model"


def test_pictures_are_written_while_others_are_computed() -> None:
    slow = fleet(1, replace(WORK, store_rate=50_000), ONE)
    assert (slow.computing, slow.writing) == (50_000, 100_000)
    assert slow.seconds == slow.fetching + 30 + 100_000
    assert slow.bound == "writing pictures"


@pytest.mark.parametrize("hours", [100, 14, 5, 1, 0.1])
def test_fewer_machines_would_not_be_done(hours: float) -> None:
    enough = fewest_machines(hours * 3600, WORK, ONE)
    assert enough.seconds <= hours * 3600
    if enough.machines > 1:
        assert fleet(enough.machines - 1, WORK, ONE).seconds > hours * 3600


def test_what_no_number_of_machines_can_do_says_what_is_in_the_way() -> None:
    with pytest.raises(UsageError, match="no number of machines .* most of it for computing"):
        fewest_machines(20, WORK, ONE)
    with pytest.raises(UsageError, match="most of it for writing pictures"):
        fewest_machines(3600, replace(WORK, store_rate=50_000), ONE)


def test_cores_are_divided_in_each_even_way(tmp_path: Path) -> None:
    large = placement(two_sockets(tmp_path / "large"), range(16))
    found = [(each.workers, each.threads) for each, _ in settings(large)]
    assert found == [(1, 8), (2, 8), (4, 4), (8, 2), (16, 1)]
    small = placement(tree(tmp_path / "small", ["0", "1", "2"]), range(3))
    assert [(each.workers, each.threads) for each, _ in settings(small)] == [(1, 3), (3, 1)]
