"""Figures of a cell from its raw samples, and the verdict on the machine."""

import pytest

from sdrt_bench.bench.record import Round, SystemLoad
from sdrt_bench.bench.summary import images_per_hour, stats_of, timing_warnings


def test_the_first_step_of_each_round_does_not_count() -> None:
    rounds = [Round(step_s=(9, 1, 2)), Round(step_s=(7, 3, 4, 10))]
    stats = stats_of(rounds)
    assert stats is not None
    assert stats.data == (1, 2, 3, 4, 10)
    assert (stats.rounds, stats.min, stats.max, stats.median, stats.mean) == (5, 1, 10, 3, 4)
    assert stats.mad == 1
    assert stats.p10 == pytest.approx(1.4)
    assert stats.p90 == pytest.approx(7.6)
    assert stats.stddev == pytest.approx(12.5**0.5)
    assert stats.ops == 0.25


def test_one_step_has_no_statistics() -> None:
    assert stats_of([Round(step_s=(1,)), Round(step_s=(1,))]) is None
    assert timing_warnings([Round(step_s=(1,))]) == ()


def test_pictures_in_an_hour_are_those_of_the_median_round() -> None:
    rounds = [Round(image_s=10), Round(image_s=20), Round(image_s=90)]
    assert images_per_hour(rounds, batch=2) == 360
    assert images_per_hour([Round()], batch=1) is None


def test_a_quiet_machine_is_trusted() -> None:
    quiet = SystemLoad(
        steal_share=0.01, other_processes_share=0.04, mhz_before=1000, mhz_after=1040
    )
    assert timing_warnings([Round(step_s=(5, 1, 1.01, 1.02), system_load=quiet)] * 2) == ()


@pytest.mark.parametrize(
    ("rounds", "sentence"),
    [
        ([Round(step_s=(9, 1, 1, 1.5))], "spread over 40 % of their median (limit 10 %)"),
        ([Round(step_s=(9, 1)), Round(step_s=(9, 1.07))], "rounds differ by 7 % (limit 5 %)"),
        ([Round(system_load=SystemLoad(steal_share=0.03))], "gave 3 % of the processors' time"),
        ([Round(system_load=SystemLoad(other_processes_share=0.5))], "other processes took 50 %"),
        (
            [Round(system_load=SystemLoad(mhz_before=1000, mhz_after=900))],
            "changed by 10 % (limit 5 %)",
        ),
    ],
)
def test_each_limit_that_is_crossed_has_a_sentence(rounds: list[Round], sentence: str) -> None:
    step = [
        measured.model_copy(update={"step_s": measured.step_s or (1, 1, 1)}) for measured in rounds
    ]
    (warning,) = timing_warnings(step)
    assert sentence in warning
