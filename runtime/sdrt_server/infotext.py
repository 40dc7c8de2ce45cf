"""Texts as AUTOMATIC1111's web UI has them: LoRAs in prompts, and the parameters of a picture.

Both are ambiguous by design, so what cannot be understood is left as it is, or left out.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from sdrt.sampling.samplers.aliases import find_sampler
from sdrt.sampling.sigma_schedules import SIGMA_SCHEDULES

LORA = re.compile(r"<lora:([^:<>]+)(?::([^:<>]*))?(?::[^<>]*)?>")
NEGATIVE = "Negative prompt:"
FIELD = re.compile(r'\s*([A-Za-z][\w /-]*):\s*("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')
AUTOMATIC = ("automatic", "uniform", "normal", "use same scheduler")
"""Names of schedulers that stand for the model's own."""

Lora = tuple[str, float]


def split_loras(prompt: str) -> tuple[str, list[Lora]]:
    """A prompt without its `<lora:NAME:WEIGHT>`, and those."""
    loras: list[Lora] = []

    def take(match: re.Match[str]) -> str:
        weight = _number(match[2]) if match[2] else 1.0
        if weight is None:
            return match[0]
        loras.append((match[1].strip(), weight))
        return ""

    return re.sub(
        r" {2,}", " ", LORA.sub(take, prompt)
    ).strip() if "<lora:" in prompt else prompt, loras


def read_sampler(name: str | None, scheduler: str | None) -> dict[str, str]:
    """Options of a sampler and a scheduler by A1111's names; unknown ones as they are."""
    options: dict[str, str] = {}
    if name and name.lower() not in AUTOMATIC:
        known = find_sampler(name)
        options["sampler"] = known[0] if known else name
        if known and known[1]:
            options["scheduler"] = known[1]
    if scheduler and scheduler.lower() not in AUTOMATIC:
        plain = re.sub(r"[ _-]+", "_", scheduler.strip().lower())
        names = {re.sub(r"[ _-]+", "_", each): each for each in SIGMA_SCHEDULES}
        options["scheduler"] = names.get(plain, scheduler)
    return options


def read_infotext(text: str) -> dict[str, Any]:
    """The options of a job (`POST /v1/jobs`) that a picture's text stands for."""
    lines = text.strip().splitlines()
    fields = _fields(lines[-1]) if lines else {}
    if "Steps" in fields:
        lines.pop()
    negative = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    prompt, loras = split_loras("\n".join(lines[:negative]).strip())
    options: dict[str, Any] = {"prompt": prompt}
    if said := "\n".join(lines[negative:]).removeprefix(NEGATIVE).strip():
        options["negative_prompt"] = said
    if loras:
        options["loras"] = [{"name": name, "weight": weight} for name, weight in loras]
    return options | _options(fields)


def _options(fields: Mapping[str, str]) -> dict[str, Any]:
    numbers: dict[str, tuple[str, Callable[[str], float | int | None]]] = {
        "Steps": ("num_inference_steps", _whole),
        "CFG scale": ("guidance_scale", _number),
        "Seed": ("seed", _whole),
        "Clip skip": ("clip_skip", _whole),
        "Hires upscale": ("hires", _number),
        "Hires steps": ("hires_steps", _whole),
        "Image CFG scale": ("image_guidance_scale", _number),
    }
    options: dict[str, Any] = {
        option: value
        for name, (option, read) in numbers.items()
        if name in fields and (value := read(fields[name])) is not None
    }
    width, _, height = fields.get("Size", "").partition("x")
    if (sides := (_whole(width), _whole(height))) and None not in sides:
        options["width"], options["height"] = sides
    if (strength := _number(fields.get("Denoising strength", ""))) is not None:
        options["hires_strength" if "hires" in options else "strength"] = strength
    if "Model" in fields:
        options["model"] = fields["Model"]
    return options | read_sampler(fields.get("Sampler"), fields.get("Schedule type"))


def _fields(line: str) -> dict[str, str]:
    fields = {}
    for name, value in FIELD.findall(line):
        fields[name.strip()] = _unquoted(value.strip())
    return fields


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text.strip()) else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
