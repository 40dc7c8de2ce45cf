"""What a picture costs: evaluations are counted, and seconds follow from them."""

from contextlib import nullcontext

import pytest

from sdrt.artifact import Artifact
from sdrt.pipeline import load
from sdrt.request.options import Options
from sdrt_bench.tune.costs import Clock, Costs, evaluations
from sdrt_bench.tune.setting import Setting
from tests.benchmarks.tune.models import SMALL, Opened, plain, ran

COSTS = Costs(
    text_encoder_s=1.0,
    vae_decoder_s=2.0,
    other_s=0.5,
    evaluation_s={"guided": 10.0, "unguided": 5.0, "guided, whole": 11.0, "guided, shallow": 3.0},
)


def test_seconds_are_the_sum_of_the_parts() -> None:
    assert COSTS.seconds(["guided"] * 3) == 33.5
    assert COSTS.seconds(["guided", "unguided"]) == 18.5
    assert COSTS.seconds(["guided, whole", "guided, shallow", "guided, whole"]) == 3.5 + 25


@pytest.mark.parametrize("sampler", ["dpm++2m", "heun", "unipc", "plms", "ddim"])
@pytest.mark.parametrize("end", [1.0, 0.7, 0.5])
def test_evaluations_are_those_that_a_run_makes(demo: Artifact, sampler: str, end: float) -> None:
    """A guided evaluation has two rows, as the engine sees."""
    pipe = Opened(demo).open()
    setting = Setting(sampler=sampler, steps=6, guidance_end=end)
    options: Options = {**SMALL, **setting.options, "seed": 1}
    kinds = evaluations(pipe, options)
    assert pipe.backend.opened == []  # type: ignore[attr-defined]
    rows: list[int] = []
    inner = pipe.backend.compute  # type: ignore[attr-defined]

    def compute(name, feeds):  # type: ignore[no-untyped-def]
        if name == "unet":
            rows.append(len(feeds["sample"]))
        return inner(name, feeds)

    pipe.backend.compute = compute  # type: ignore[attr-defined]
    pipe("a boat", **options)
    assert [{"guided": 2, "unguided": 1}[each] for each in kinds] == rows


@pytest.mark.parametrize("start", [0.0, 0.4])
@pytest.mark.parametrize("sampler", ["dpm++2m", "heun"])
def test_whole_and_shallow_evaluations_are_those_that_a_run_counts(
    tiny: Artifact, sampler: str, start: float
) -> None:
    """Also where guidance begins on the way, which takes a whole evaluation."""
    setting = Setting(sampler=sampler, steps=6, guidance_start=start, cache_interval=4)
    pipe = load(tiny.root, backend="onnxruntime")
    options: Options = {**setting.options, "width": 64, "height": 64, "seed": 1}
    kinds = evaluations(pipe, options)
    (parameters,) = pipe("a boat", **options).parameters
    assert parameters.evaluations == {
        "whole": sum(kind.endswith("whole") for kind in kinds),
        "shallow": sum(kind.endswith("shallow") for kind in kinds),
        "unguided": sum(kind.startswith("unguided") for kind in kinds),
    }
    assert {"guided, whole", "guided, shallow"} <= set(kinds)


def test_costs_have_every_kind_of_evaluation(demo: Artifact) -> None:
    pipe = Opened(demo).open()
    costs = Clock(pipe, SMALL, nullcontext).measure_costs(has_cache=False, rounds=1)
    assert costs.evaluation_s.keys() == {"guided", "unguided"}
    assert min(costs.text_encoder_s, costs.vae_decoder_s, *costs.evaluation_s.values()) > 0
    without: Options = {**SMALL, "guidance_scale": 1.0}
    costs = Clock(pipe, without, nullcontext).measure_costs(has_cache=False, rounds=1)
    assert costs.evaluation_s.keys() == {"unguided"}


def test_a_picture_is_timed_with_all_its_networks(demo: Artifact) -> None:
    pipe = Opened(demo).open()
    assert Clock(pipe, SMALL, nullcontext).seconds(plain(3)) > 0
    assert ran(pipe).count("unet") == 3
    assert ran(pipe)[-1] == "vae_decoder"
