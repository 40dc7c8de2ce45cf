"""Presets of speed stand for settings, which options that are given replace."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sdrt.artifact import Artifact, open_artifact
from sdrt.backends.fake import FakeBackend
from sdrt.diagnostics.info import describe_model
from sdrt.errors import ArtifactError, UsageError
from sdrt.files.tuned_speed import (
    NOT_TUNED,
    TunedFile,
    TunedPreset,
    TunedSpeed,
    write_tuned_speed,
)
from sdrt.machine import processor
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


TUNED = TunedFile(
    model_hash="0" * 64,
    processor="here",
    presets={
        "balanced": TunedPreset(sampler="deis", scheduler="karras", num_inference_steps=12),
        "fast": TunedPreset(
            sampler="dpm++2m",
            spacing="trailing",
            num_inference_steps=6,
            guidance_end=0.8,
            cache_interval=3,
        ),
    },
)


def tuned(demo: Artifact, name: str, **options: Any) -> Request:
    speed = TunedSpeed(TUNED.presets)
    return resolve(demo.manifest, "", {"speed": name, "seed": 1, **options}, speed)  # type: ignore[typeddict-item]


def test_what_was_tuned_takes_the_place_of_what_is_shipped(demo: Artifact) -> None:
    balanced, fast = tuned(demo, "balanced"), tuned(demo, "fast")
    assert balanced.sampler_settings.sampler == "deis"
    assert balanced.sampler_settings.options == {}
    assert balanced.num_inference_steps == 12
    assert (fast.sampler_settings.scheduler, fast.guidance.end) == ("default", 0.8)
    assert fast.feature_reuse.interval == 3
    assert tuned(demo, "exact") == resolve(demo.manifest, "", {"seed": 1})


def test_parts_of_a_tuned_preset_that_do_not_fit_what_is_given_are_left_out(
    demo: Artifact,
) -> None:
    unguided = tuned(demo, "fast", guidance_scale=1.0)
    assert (unguided.guidance.end, unguided.warnings) == (1.0, ())
    two = tuned(demo, "fast", num_inference_steps=2)
    assert (two.num_inference_steps, two.feature_reuse.interval) == (2, 1)
    own = tuned(demo, "fast", sampler="euler")
    assert (own.sampler_settings.sampler, own.guidance.end) == ("euler", 0.8)


def test_a_folder_keeps_its_tuned_presets(demo: Artifact, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demo.root, tmp_path / "demo"))
    artifact = open_artifact(folder)
    assert artifact.tuned_speed() == NOT_TUNED
    ours = TUNED.model_copy(update={"model_hash": artifact.hash, "processor": processor()})
    assert write_tuned_speed(folder, ours) == folder / "speed.json"
    assert artifact.tuned_speed() == TunedSpeed(TUNED.presets)
    pipe = Pipeline(artifact, FakeBackend(pretend_demo))
    assert pipe.start("", speed="balanced").request.sampler_settings.sampler == "deis"
    assert pipe.start("", seed=1).request == resolve(demo.manifest, "", {"seed": 1})
    _, text = describe_model(str(folder))
    assert "speed balanced (tuned): sampler deis, scheduler karras, num_inference_steps 12" in text


def test_presets_of_another_model_or_processor_are_said_to_be_so(
    demo: Artifact, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(demo.root, tmp_path / "demo"))
    pipe = Pipeline(open_artifact(folder), FakeBackend(pretend_demo))
    write_tuned_speed(folder, TUNED)
    other_model = pipe.start("", speed="balanced").request
    assert other_model.sampler_settings.sampler == "dpm++2m"
    (warning,) = other_model.warnings
    assert "speed.json is of another model (000000000000, this one is" in warning
    assert pipe.start("").request.warnings == ()
    write_tuned_speed(folder, TUNED.model_copy(update={"model_hash": pipe.artifact.hash}))
    elsewhere = pipe.start("", speed="balanced").request
    assert elsewhere.sampler_settings.sampler == "deis"
    (warning,) = elsewhere.warnings
    assert "speed.json was measured on 'here', and this is" in warning


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "speed.json: the file: invalid JSON.*sdrt tune --save, or remove it"),
        ("{}", "speed.json: model_hash: field required"),
        ('{"schema": 2}', "speed.json: schema: input should be 1"),
        (b"\xff\xfe", "it is not text in UTF-8"),
    ],
)
def test_a_damaged_file_of_presets_is_refused(
    demo: Artifact, tmp_path: Path, content: str | bytes, message: str
) -> None:
    folder = Path(shutil.copytree(demo.root, tmp_path / "demo"))
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "speed.json").write_bytes(data)
    pipe = Pipeline(open_artifact(folder), FakeBackend(pretend_demo))
    with pytest.raises(ArtifactError, match=message):
        pipe.start("", speed="fast")
    pipe.start("")  # whoever asks for no preset is not bothered
