"""Presets of speed stand for settings, which options that are given replace."""

from typing import Any

import pytest

from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import UsageError
from sdrt.manifest import Manifest, TensorSpec
from sdrt.pipeline import Pipeline
from sdrt.request.request import Request
from sdrt.request.resolve import resolve
from sdrt.request.speed import speed_preset
from tests.runtime.fakes import pretend_demo


def request(demo: Artifact, **options: Any) -> Request:
    return resolve(demo.manifest, "a boat", {"seed": 1, **options})  # type: ignore[typeddict-item]


def changed(manifest: Manifest, **values: Any) -> Manifest:
    return manifest.model_copy(update=values)


def test_exact_is_the_models_own(demo: Artifact) -> None:
    plain, exact = request(demo), request(demo, speed="exact")
    assert plain == exact
    assert plain.speed == "exact"


def test_presets_make_fewer_steps_the_faster_they_are(demo: Artifact) -> None:
    requests = [request(demo, speed=name) for name in ("exact", "balanced", "fast")]
    steps = [each.num_inference_steps for each in requests]
    assert steps == sorted(set(steps), reverse=True)
    for each in requests[1:]:
        settings = each.sampler_settings
        assert (settings.sampler, settings.scheduler) == ("dpm++2m", "karras")
        assert settings.options["sigma_min"] == 0.1
        assert not each.warnings
    assert [each.speed for each in requests] == ["exact", "balanced", "fast"]


def test_every_part_can_be_set_by_hand(demo: Artifact) -> None:
    preset = request(demo, speed="fast")
    own_steps = request(demo, speed="fast", num_inference_steps=9)
    assert own_steps.num_inference_steps == 9
    assert own_steps.sampler_settings == preset.sampler_settings
    for options in (
        {"sampler": "euler"},
        {"sampler": "DPM++ 2M Karras"},
        {"scheduler": "ays"},
        {"spacing": "leading"},
        {"sampler_options": {"order": 3}},
        {"scheduler_config": {"_class_name": "DDIMScheduler"}},
    ):
        own, without = request(demo, speed="fast", **options), request(demo, **options)
        assert own.sampler_settings == without.sampler_settings
        assert own.num_inference_steps == preset.num_inference_steps
        assert not own.warnings


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("guides itself", "is made for few steps by itself"),
        ("consistent", "is made for few steps by itself"),
        ("turbo", "is made for few steps by itself"),
        ("pure noise", "begins at pure noise"),
    ],
)
def test_a_model_that_has_no_preset_is_run_as_it_is(demo: Artifact, kind: str, reason: str) -> None:
    manifest, defaults = demo.manifest, demo.manifest.defaults
    unet = manifest.graphs["unet"]
    strength = TensorSpec(name="timestep_cond", dtype="float32", shape=("batch", 256))
    guided = unet.model_copy(update={"inputs": (*unet.inputs, strength)})
    manifests = {
        "guides itself": changed(manifest, graphs={**manifest.graphs, "unet": guided}),
        "consistent": changed(manifest, defaults=defaults.model_copy(update={"sampler": "tcd"})),
        "turbo": changed(manifest, defaults=defaults.model_copy(update={"num_inference_steps": 1})),
        "pure noise": changed(
            manifest, schedule=manifest.schedule.model_copy(update={"zero_terminal_snr": True})
        ),
    }
    odd = manifests[kind]
    plain, fast = (resolve(odd, "a boat", {"seed": 1, "speed": name}) for name in ("exact", "fast"))
    assert fast.speed == "exact"
    assert fast.num_inference_steps == plain.num_inference_steps
    assert fast.sampler_settings == plain.sampler_settings
    (warning,) = fast.warnings
    assert warning.startswith("without effect: speed 'fast', because")
    assert reason in warning
    assert speed_preset(odd, "fast").options == {}


def test_the_picture_says_which_preset_it_was(demo: Artifact) -> None:
    pipe = Pipeline(demo, FakeBackend(pretend_demo))
    options: dict[str, Any] = {"seed": 3, "width": 64, "height": 64}
    (fast,) = pipe("a boat", speed="fast", **options).parameters
    assert (fast.speed, fast.evaluations["whole"]) == ("fast", fast.num_inference_steps)
    (exact,) = pipe("a boat", **options).parameters
    assert exact.speed == "exact"
    assert exact.num_inference_steps > fast.num_inference_steps


def test_an_unknown_preset_is_refused(demo: Artifact) -> None:
    with pytest.raises(UsageError, match="unknown speed 'fastest'; known: exact.*did you mean"):
        request(demo, speed="fastest")
