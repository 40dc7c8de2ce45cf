"""The C++ host completes and refuses options as Python does, with the same messages."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdrt import errors
from sdrt.artifact import Artifact, open_artifact
from sdrt.manifest import Manifest
from sdrt.request.resolve import resolve
from sdrt.sampling.samplers.aliases import DIFFUSERS, find_sampler
from sdrt.sampling.samplers.registry import SAMPLERS
from tests.cpp.commands import Ask, Command
from tests.cpp.models import change

HERE = ("ddim", "euler", "euler_a", "dpm++2m", "unipc", "lcm")  # samplers of the host


GIVEN: list[dict[str, Any]] = [
    {},
    {"width": 256, "height": 64, "num_inference_steps": 7, "guidance_scale": 0},
    {"guidance_rescale": 0.7, "guidance_start": 0.2, "guidance_end": 0.8, "guidance_split": True},
    {"guidance_start": 0.5, "guidance_end": 0.5, "negative_prompt": "fog"},
    {"guidance_scale": 1, "guidance_rescale": 0.7, "guidance_split": True},
    {"guidance_scale": 0.5, "negative_prompt": "fog", "guidance_start": 0.5, "guidance_end": 0.8},
    {"sampler": "lcm", "spacing": "trailing"},
    {"seed": 2**63 - 1},
    {"seed": 2**63 - 64, "num_images_per_prompt": 64},
    {"seed": 0, "num_images_per_prompt": 3, "negative_prompt": "häßlich 😀"},
    {"clip_skip": 2},
    {"scheduler": "karras", "spacing": "linspace"},
    *({"sampler": name} for name in HERE),
    *({"sampler": name} for name in ("DPM++ 2M Karras", "dpmpp_2m", "Euler a", "EULER-A", "UniPC")),
    *({"sampler": name} for name, own in DIFFUSERS.items() if own in HERE),
    *({"width": width} for width in (0, -8, 56, 63, 65, 4096, 4104, 2**40, -(2**63))),
    *({"height": height} for height in (60, 72)),
    *({"num_inference_steps": steps} for steps in (0, -1, 1, 1000, 1001)),
    *({"guidance_scale": scale} for scale in (-1.0, -0.5, 1e30)),
    *({"guidance_rescale": share} for share in (-0.1, 1.1)),
    {"guidance_start": 0.8, "guidance_end": 0.2},
    {"guidance_end": 2.5},
    *({"seed": seed} for seed in (-1, -(2**63))),
    {"seed": 2**63 - 1, "num_images_per_prompt": 2},
    *({"num_images_per_prompt": count} for count in (0, -1, 65)),
    *({"clip_skip": number} for number in (0, -1, 65, 1000)),
    {"spacing": "even"},
    *({"speed": name} for name in ("exact", "balanced", "fast", "fastest")),
    {"speed": "fast", "num_inference_steps": 9},
    {"speed": "fast", "sampler": "euler"},
    {"speed": "balanced", "spacing": "leading"},
    {"speed": "balanced", "scheduler": "default", "guidance_scale": 1, "negative_prompt": "fog"},
    {"sampler": "dpm++2m karras", "scheduler": "default"},
    {"sampler": "dpm++2m karras", "scheduler": "karras"},
]
"""Both sides give the same request or the same error for these, messages included."""


def resolved(manifest: Manifest, options: Mapping[str, Any]) -> dict[str, Any]:
    """What Python makes of options, in the form of the C++ parts."""
    try:
        request = resolve(manifest, "a boat", {"seed": 5, **options})  # type: ignore[typeddict-item]
    except errors.SdrtError as error:
        name = type(error).__name__
        return {"error": name, "code": error.exit_code, "message": str(error)}
    guidance, sampler_settings = request.guidance, request.sampler_settings
    shares = [guidance.scale, guidance.rescale, guidance.start, guidance.end, guidance.is_split]
    return {
        "result": {
            "prompt": request.prompt,
            "speed": request.speed,
            "negative_prompt": request.negative_prompt,
            "width": request.width,
            "height": request.height,
            "steps": request.num_inference_steps,
            "guidance": shares,
            "is_guided": request.is_guided,
            "sampler": sampler_settings.sampler,
            "scheduler": sampler_settings.scheduler,
            "spacing": sampler_settings.spacing,
            "offset": sampler_settings.offset,
            "options": dict(sampler_settings.options),
            "seeds": list(request.seeds),
            "clip_skip": request.clip_skip,
            "warnings": list(request.warnings),
        }
    }


def request_command(path: Path, options: Mapping[str, Any]) -> Command:
    """The same for C++."""
    return {
        "op": "request",
        "path": str(path),
        "options": {"prompt": "a boat", "seed": 5, **options},
    }


def test_options_are_completed_and_checked_as_in_python(ask: Ask, demo: Artifact) -> None:
    answers = ask(*(request_command(demo.root, options) for options in GIVEN))
    for options, answer in zip(GIVEN, answers, strict=True):
        assert answer == resolved(demo.manifest, options), options


def test_the_models_own_sampler_options_are_checked_as_in_python(ask: Ask, model: Path) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("dpm++2m", {"order": 3, "solver_type": "heun", "lower_order_final": False}),
        ("dpm++2m", {"order": 2.0}),
        ("dpm++2m", {"order": 4}),
        ("dpm++2m", {"order": True}),
        ("dpm++2m", {"ordr": 1}),
        ("unipc", {"solver_type": "bh2", "predict_x0": True}),
        ("unipc", {"solver_type": "midpoint"}),
        ("ddim", {"eta": 1}),
        ("ddim", {"eta": 1.5}),
        ("euler", {"eta": 0.5}),
        ("euler", {"final": "min", "rho": 5, "clip": 0.5, "thresholding": 0.9}),
        ("euler", {"sigma_min": 0.2}),
        ("euler", {"sigma_min": 0}),
        ("euler", {"final": "last"}),
        ("euler", {"thresholding_max": 0.5}),
        ("lcm", {"original_steps": 50, "timestep_scaling": 10.0}),
        ("lcm", {"original_steps": 50.5}),
    ]
    path = model / "manifest.json"
    sound = json.loads(path.read_text())
    for sampler, options in cases:
        data = change(sound, ("defaults", "sampler"), sampler)
        path.write_text(json.dumps(change(data, ("defaults", "sampler_options"), options)))
        (answer,) = ask(request_command(model, {}))
        assert answer == resolved(open_artifact(model).manifest, {}), (sampler, options)


def test_samplers_are_found_by_pythons_names(ask: Ask) -> None:
    names = [*SAMPLERS, *DIFFUSERS, *(sampler.a1111 for sampler in SAMPLERS.values())]
    names += [f"{name} Karras" for name in names] + ["nonsense", "karras", "", "DPM++ 9M", "_"]
    answers = ask(*({"op": "sampler", "name": name} for name in names))
    for name, answer in zip(names, answers, strict=True):
        expected = find_sampler(name)
        if expected is None:
            assert answer["code"] == 2, name
        elif expected[0] in HERE:
            assert answer["result"] == list(expected), name
        else:
            assert answer["code"] == 9, name
            assert expected[0] in answer["message"]


def test_an_unknown_name_is_answered_with_the_nearest(ask: Ask, demo: Artifact) -> None:
    given = [{"sampler": "eulr"}, {"sampler": "dpm2m"}, {"scheduler": "karas"}, {"sampler": "zzz"}]
    ends = ["did you mean 'euler'?", "did you mean 'dpm++2m'?", "did you mean 'karras'?", "lcm"]
    for end, answer in zip(
        ends, ask(*(request_command(demo.root, options) for options in given)), strict=True
    ):
        assert answer["code"] == 2
        assert answer["message"].endswith(end)


def test_a_seed_is_drawn_where_none_is_given(ask: Ask, demo: Artifact) -> None:
    answers = ask(*[request_command(demo.root, {"seed": None})] * 8)
    seeds = [answer["result"]["seeds"][0] for answer in answers]
    assert len(set(seeds)) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_an_inpainting_model_is_more_than_this_host_does(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    data = json.loads(path.read_text())
    inputs = [graph_input["name"] for graph_input in data["graphs"]["unet"]["inputs"]]
    at = ("graphs", "unet", "inputs", inputs.index("sample"), "shape", 1)
    kinds = {
        9: "is an inpainting model",
        8: "edits pictures",
        6: "takes 2",
        5: "paints over a depth map, which this host does not do; use: sdrt generate --depth",
    }
    for channels, kind in kinds.items():
        path.write_text(json.dumps(change(data, at, channels)))
        (answer,) = ask(request_command(model, {}))
        assert answer["code"] == 9
        assert kind in answer["message"]


def test_guidance_inside_of_a_unet_goes_from_one_on(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    data = json.loads(path.read_text())
    scale = {"name": "timestep_cond", "dtype": "float32", "shape": ["batch", 32]}
    data["graphs"]["unet"]["inputs"].append(scale)
    path.write_text(json.dumps(data))
    low, none = ask(
        request_command(model, {"guidance_scale": 0.5}),
        request_command(model, {"guidance_scale": 1.0}),
    )
    assert (low["code"], none["result"]["is_guided"]) == (2, False)
    assert "which its U-Net takes as an input, is 0.5; expected a finite" in low["message"]
    own = Manifest.model_validate(data)
    for given in ({"guidance_rescale": 0.7}, {"guidance_end": 0.5}, {"negative_prompt": "fog"}):
        (answer,) = ask(request_command(model, given))
        assert answer == resolved(own, given)


def test_a_refiner_of_stable_diffusion_xl_is_left_to_python(ask: Ask, model: Path) -> None:
    path = model / "manifest.json"
    data = json.loads(path.read_text())
    time_ids = {"name": "time_ids", "dtype": "float32", "shape": ["batch", 5]}
    for numbers, problem in ((5, "is a refiner of Stable"), (7, "takes 7 numbers about the")):
        inputs = [*data["graphs"]["unet"]["inputs"], {**time_ids, "shape": ["batch", numbers]}]
        path.write_text(json.dumps(change(data, ("graphs", "unet", "inputs"), inputs)))
        (answer,) = ask(request_command(model, {}))
        assert answer["code"] == 9
        assert problem in answer["message"]
