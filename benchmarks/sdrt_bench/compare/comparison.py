"""What a comparison found: each prompt's figures, how they spread, as a record and as a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from sdrt.images.metadata import Parameters
from sdrt_bench.similarity import Pixels, Spread

SIDES = ("A", "B")
TOTALS = {"all_attributes": "all attributes", "whole_prompt": "whole prompts"}
SHOWN_STEPS = 6
Accuracy = Mapping[str, float]


@dataclass(frozen=True)
class Pair:
    """One prompt and seed on both sides."""

    prompt: str
    seed: int
    latent_psnr_db: Sequence[float]
    """After each step, with the range of A's latents as peak; infinite where they are equal."""
    psnr_db: float
    """Of the 8-bit pictures."""
    ssim: float
    shown: tuple[dict[str, bool], dict[str, bool]] | None
    """For A and B: which attributes of the prompt the picture shows, where that can be told."""
    pictures: tuple[Pixels, Pixels]

    def to_record(self) -> dict[str, Any]:
        """All but the pictures, as plain values."""
        return {
            "prompt": self.prompt,
            "seed": self.seed,
            "latent_psnr_db": [_or_none(value) for value in self.latent_psnr_db],
            "psnr_db": _or_none(self.psnr_db),
            "ssim": self.ssim,
            "shown": dict(zip("ab", self.shown, strict=True)) if self.shown else None,
        }


@dataclass(frozen=True)
class Comparison:
    """Every pair, and what the first picture of each side was made with."""

    sides: tuple[Parameters, Parameters]
    pairs: Sequence[Pair]
    warnings: list[str]

    @cached_property
    def psnr_db(self) -> Spread:
        """Of the pictures."""
        return Spread.of([pair.psnr_db for pair in self.pairs])

    @cached_property
    def ssim(self) -> Spread:
        """Of the pictures."""
        return Spread.of([pair.ssim for pair in self.pairs])

    @cached_property
    def latent_psnr_db(self) -> list[Spread]:
        """Of the latents after each step."""
        columns = zip(*(pair.latent_psnr_db for pair in self.pairs), strict=True)
        return [Spread.of(column) for column in columns]

    @cached_property
    def accuracy(self) -> tuple[Accuracy, Accuracy] | None:
        """For A and B: shares of attributes and of whole prompts that are painted as told."""
        answers = [pair.shown for pair in self.pairs if pair.shown]
        if len(answers) < len(self.pairs):
            return None
        from sdrt_bench.scenes.checker import accuracy

        ours, theirs = (accuracy(side) for side in zip(*answers, strict=True))
        return ours, theirs

    def to_record(self) -> dict[str, Any]:
        """All figures as plain values; decibels of equal arrays, which are infinite, are None."""
        accuracy = self.accuracy
        return {
            "a": _side(self.sides[0]),
            "b": _side(self.sides[1]),
            "settings": _settings(self.sides[0]),
            "prompts": len(self.pairs),
            "psnr_db": _spread(self.psnr_db),
            "ssim": _spread(self.ssim),
            "latent_psnr_db": [_spread(one) for one in self.latent_psnr_db],
            "accuracy": dict(zip("ab", accuracy, strict=True)) if accuracy else None,
            "pairs": [pair.to_record() for pair in self.pairs],
            "warnings": self.warnings,
        }

    def to_text(self) -> str:
        """For people."""
        made, count = self.sides[0], len(self.pairs)
        seeds = f", {made.seed} to {self.pairs[-1].seed}" if count > 1 else f" {made.seed}"
        lines = [
            *self.describe(),
            f"{count} {'prompts and seeds' if count > 1 else 'prompt, seed'}{seeds}; "
            f"{made.width}x{made.height}, {made.num_inference_steps} steps of {made.sampler}, "
            f"guidance {made.guidance_scale:g}",
            "",
            _row("B against A", [field.name for field in fields(Spread)]),
            _row("picture, SSIM", [f"{one:.4f}" for one in asdict(self.ssim).values()]),
            _row("picture, PSNR in dB", _decibels(self.psnr_db)),
        ]
        for step in shown_steps(len(self.latent_psnr_db)):
            lines.append(_row(f"latents, step {step + 1}", _decibels(self.latent_psnr_db[step])))
        return "\n".join([*lines, *self._accuracy_lines()])

    def describe(self) -> list[str]:
        """A line for each side: model, stored and executed precision, engine."""
        return [
            f"{name}: {made.model}, stored in {made.stored_precision}, executed in "
            f"{made.executed_precision} on {made.backend}"
            for name, made in zip(SIDES, self.sides, strict=True)
        ]

    def _accuracy_lines(self) -> list[str]:
        if self.accuracy is None:
            return []
        ours, theirs = self.accuracy
        lines = ["", _row("painted as told", ["A", "B", "B - A"])]
        for name, share in ours.items():
            points = [100 * share, 100 * theirs[name], 100 * (theirs[name] - share)]
            figures = [f"{points[0]:.1f} %", f"{points[1]:.1f} %", f"{points[2]:+.1f}"]
            lines.append(_row(TOTALS.get(name, name), figures))
        return lines


def shown_steps(count: int) -> list[int]:
    """Indices of some steps, evenly spaced from the first to the last."""
    shown = min(count, SHOWN_STEPS)
    return [round(i * (count - 1) / max(1, shown - 1)) for i in range(shown)]


def decibels(value: float) -> str:
    """For people."""
    return f"{value:.1f}" if math.isfinite(value) else "equal"


def _decibels(spread: Spread) -> list[str]:
    return [decibels(value) for value in asdict(spread).values()]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:22}" + "".join(f"{cell:>9}" for cell in cells)


def _side(made: Parameters) -> dict[str, Any]:
    names = (
        *("model", "model_hash", "stored_precision", "executed_precision"),
        *("backend", "threads", "version"),
    )
    return {name: getattr(made, name) for name in names}


def _settings(made: Parameters) -> dict[str, Any]:
    names = (
        *("width", "height", "num_inference_steps", "guidance_scale"),
        *("sampler", "sampler_options", "scheduler", "spacing", "steps_offset"),
    )
    return {name: getattr(made, name) for name in names}


def _spread(spread: Spread) -> dict[str, float | None]:
    return {name: _or_none(value) for name, value in asdict(spread).items()}


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
