"""What made a picture, as options that make it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sdrt.errors import UsageError
from sdrt.images.metadata import CHUNK, read_png
from sdrt_server.infotext import read_infotext
from sdrt_server.native.schema import JobRequest

NAME = Path("the picture")  # in messages, as the name that a client gives a file is not used
SAME = (
    *("prompt", "negative_prompt", "model", "seed", "width", "height", "num_inference_steps"),
    *("guidance_scale", "image_guidance_scale", "guidance_rescale", "guidance_start"),
    *("guidance_end", "cache_interval", "cache_depth", "sampler", "sampler_options"),
    *("scheduler", "spacing", "strength", "clip_skip"),
)
"""Fields of a picture's record that are options of the same name."""


def picture_facts(contents: bytes) -> dict[str, Any]:
    """The parameters inside a PNG; raises `UsageError` for what has none."""
    found = read_png(NAME, contents)
    record, text = found.get(CHUNK), found.get("parameters")
    if isinstance(record, dict):
        options = _options(record)
    elif text is not None:
        options, record = read_infotext(text), None
    else:
        raise UsageError("the picture has no parameters inside", "image")
    return {
        "options": _valid(options),
        "record": record,
        "text": text,
        "width": found["width"],
        "height": found["height"],
    }


def _options(record: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: record[name] for name in SAME if record.get(name) is not None}
    hires = record.get("hires")
    if isinstance(hires, dict):
        options |= {
            "hires": hires.get("scale"),
            "hires_strength": hires.get("strength"),
            "hires_steps": hires.get("num_inference_steps"),
        }
    loras = record.get("loras")
    options["loras"] = [
        {"name": Path(str(lora.get("file"))).stem, "weight": lora.get("weight")}
        for lora in (loras if isinstance(loras, list) else [])
        if isinstance(lora, dict)
    ]
    return options


def _valid(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a job may have; a file may hold anything."""
    valid: dict[str, Any] = {}
    for name, value in options.items():
        try:
            JobRequest.model_validate({"prompt": "", name: value})
        except ValidationError:
            continue
        if value not in (None, [], ""):
            valid[name] = value
    return valid
