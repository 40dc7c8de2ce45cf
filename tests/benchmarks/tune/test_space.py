"""Settings, their names and options, and which there are to try."""

from pathlib import Path

import pytest

from sdrt.artifact import Artifact
from sdrt.request.options import Options
from sdrt.request.resolve import resolve
from sdrt.request.speed import SPEEDS
from sdrt_bench.tune.setting import Setting
from sdrt_bench.tune.space import Space
from tests.benchmarks.tune.models import SMALL, SPACE, Opened, plain


@pytest.mark.parametrize(
    ("setting", "label", "is_tricky"),
    [
        (Setting(sampler="unipc", steps=8), "unipc default 8", False),
        (plain(8), "dpm++2m trailing 8", False),
        (Setting(sampler="deis", steps=6, scheduler="beta"), "deis beta 6", False),
        (
            Setting(sampler="deis", steps=6, scheduler="karras", rho=3.5, sigma_min=0.1),
            "deis karras 6, rho 3.5, sigma_min 0.1",
            True,
        ),
        (plain(8, guidance_end=0.9), "dpm++2m trailing 8, guidance 0 to 0.9", True),
        (plain(8, cache_interval=3), "dpm++2m trailing 8, cache 3", True),
    ],
)
def test_a_setting_is_named_by_what_it_does(setting: Setting, label: str, is_tricky: bool) -> None:
    assert setting.label == label
    assert setting.uses_trick == is_tricky


def test_options_are_those_of_a_run(demo: Artifact) -> None:
    setting = Setting(sampler="unipc", steps=7, scheduler="karras", rho=5.0, guidance_end=0.8)
    request = resolve(demo.manifest, "a boat", {**setting.options, "seed": 1})
    settings = request.sampler_settings
    assert (settings.sampler, settings.scheduler) == ("unipc", "karras")
    assert (dict(settings.options), request.num_inference_steps) == ({"rho": 5.0}, 7)
    assert (request.guidance.start, request.guidance.end) == (0.0, 0.8)
    assert resolve(demo.manifest, "", plain(7).options).sampler_settings.spacing == "trailing"


def test_a_trick_that_is_not_in_use_is_no_option() -> None:
    assert not {"cache_interval", "guidance_start", "guidance_end"} & plain(5).options.keys()
    tricky = plain(5, cache_interval=2, sigma_min=0.1).options
    assert tricky["cache_interval"] == 2
    assert tricky["sampler_options"] == {"sigma_min": 0.1}


def test_every_family_is_a_run_that_the_model_takes(demo: Artifact, tmp_path: Path) -> None:
    pipe = Opened(demo).open()
    options: Options = {**SMALL}
    space = Space.of([pipe], options)
    assert (space.spacing, space.is_guided) == ("trailing", True)
    families = space.families()
    assert len(families) == len(set(families)) > 40
    for setting in [*families, *space.plain(), space.peers_default]:
        run: Options = {**options, **setting.options}
        assert len(pipe.start("", **run)) == setting.steps
    assert pipe.backend.opened == []  # type: ignore[attr-defined]
    # Through given levels of noise, euler goes the way of ddim.
    assert [each.scheduler for each in families if each.sampler == "euler"] == ["default"] * 3


def test_tricks_are_those_that_all_models_take(demo: Artifact) -> None:
    pipe = Opened(demo).open()
    assert Space.of([pipe], SMALL).tricks == {"sigma_min", "cache_interval"}
    unguided: Options = {**SMALL, "guidance_scale": 1.0}
    space = Space.of([pipe], unguided)
    assert not space.is_guided
    assert not any(each.guidance_end < 1 for each in space.neighbours(plain(5)))


def test_neighbours_differ_in_one_value() -> None:
    setting = Setting(sampler="deis", steps=4, scheduler="karras", rho=5.0, guidance_end=0.9)
    near = SPACE.neighbours(setting)
    assert len(near) == len(set(near))
    fields = setting.model_dump()
    for each in near:
        assert sum(value != fields[name] for name, value in each.model_dump().items()) == 1
    assert {each.steps for each in near} == {3, 4, 5}
    # 7 is what karras does by default.
    assert {each.rho for each in near} == {3.5, 5.0, None, 10.0}
    assert {each.guidance_end for each in near} == {1.0, 0.9, 0.8, 0.7}
    assert {each.guidance_start for each in near} == {0.0, 0.1, 0.2}


def test_the_presets_that_come_with_sdrt_are_among_the_first_settings(demo: Artifact) -> None:
    pipe = Opened(demo).open()
    shipped = Space.of([pipe], SMALL).shipped
    assert [each.steps for each in shipped] == [10, 8]
    for name, each in zip(SPEEDS[1:], shipped, strict=True):
        preset = pipe.start("", speed=name).request
        chosen = pipe.start("", **each.options).request
        assert preset.sampler_settings == chosen.sampler_settings


def test_tricks_are_tried_where_they_apply() -> None:
    space = Space("trailing", is_guided=False, tricks=frozenset({"sigma_min", "cache_interval"}))
    levels = {each.sigma_min for each in space.neighbours(plain(5))}
    assert levels == {None}  # evenly spaced timesteps have no such option
    beta = Setting(sampler="deis", steps=5, scheduler="beta")
    near = space.neighbours(beta)
    assert {each.sigma_min for each in near} == {None, 0.05, 0.1, 0.15, 0.2, 0.3}
    assert {each.cache_interval for each in near} == {1, 2, 3, 5}


def test_steps_stay_within_those_that_plain_settings_have() -> None:
    assert {each.steps for each in SPACE.neighbours(plain(5))} == {4, 5}
    assert {each.steps for each in SPACE.neighbours(plain(2))} == {2, 3}
