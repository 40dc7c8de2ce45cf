"""Figures of a comparison: of each prompt and of all of them, as a record and as a table."""

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
    """Each step has this PSNR with the range of A's latents as peak; infinite for equal latents."""
    psnr_db: float
    """The 8-bit images have this PSNR."""
    ssim: float
    shown: tuple[dict[str, bool], dict[str, bool]] | None
    """For A and B it says which attributes of the prompt the image shows, where that is known."""
    pictures: tuple[Pixels, Pixels]

    def to_record(self) -> dict[str, Any]:
        """Give all but the images as plain values."""
        return {
            "prompt": self.prompt,
            "seed": self.seed,
            "latent_psnr_db": [_or_none(value) for value in self.latent_psnr_db],
            "psnr_db": _or_none(self.psnr_db),
            "ssim": self.ssim,
            "shown": dict(zip("ab", self.shown, strict=True)) if self.shown else None,
        }


@dataclass(frozen=True)
class ModelComparison:
    """Every pair, and the parameters of each side's first image."""

    sides: tuple[Parameters, Parameters]
    pairs: Sequence[Pair]
    warnings: list[str]

    @cached_property
    def psnr_db(self) -> Spread:
        """PSNR of the images."""
        return Spread.from_values([pair.psnr_db for pair in self.pairs])

    @cached_property
    def ssim(self) -> Spread:
        """SSIM of the images."""
        return Spread.from_values([pair.ssim for pair in self.pairs])

    @cached_property
    def latent_psnr_db(self) -> list[Spread]:
        """PSNR of the latents after each step."""
        columns = zip(*(pair.latent_psnr_db for pair in self.pairs), strict=True)
        return [Spread.from_values(column) for column in columns]

    @cached_property
    def accuracy(self) -> tuple[Accuracy, Accuracy] | None:
        """For A and B, shares of attributes and of whole prompts that are painted as requested."""
        answers = [pair.shown for pair in self.pairs if pair.shown]
        if len(answers) < len(self.pairs):
            return None
        from sdrt_bench.scenes.checker import accuracy

        ours, theirs = (accuracy(side) for side in zip(*answers, strict=True))
        return ours, theirs

    def to_record(self) -> dict[str, Any]:
        """Give all figures as plain values; infinite decibels, of equal arrays, are None."""
        accuracy = self.accuracy
        return {
            "a": _side(self.sides[0]),
            "b": _side(self.sides[1]),
            "settings": _settings(self.sides[0]),
            "prompts": len(self.pairs),
            "psnr_db": _spread(self.psnr_db),
            "ssim": _spread(self.ssim),
            "latent_psnr_db": [_spread(spread) for spread in self.latent_psnr_db],
            "accuracy": dict(zip("ab", accuracy, strict=True)) if accuracy else None,
            "pairs": [pair.to_record() for pair in self.pairs],
            "warnings": self.warnings,
        }

    def to_text(self) -> str:
        """Write a table."""
        side, count = self.sides[0], len(self.pairs)
        seeds = f", {side.seed} to {self.pairs[-1].seed}" if count > 1 else f" {side.seed}"
        lines = [
            *self.describe(),
            f"{count} {'prompts and seeds' if count > 1 else 'prompt, seed'}{seeds}; "
            f"{side.width}x{side.height}, {side.num_inference_steps} steps of {side.sampler}, "
            f"guidance {side.guidance_scale:g}",
            "",
            _row("B against A", [field.name for field in fields(Spread)]),
            _row("picture, SSIM", [f"{value:.4f}" for value in asdict(self.ssim).values()]),
            _row("picture, PSNR in dB", _decibels(self.psnr_db)),
        ]
        for step in shown_steps(len(self.latent_psnr_db)):
            lines.append(_row(f"latents, step {step + 1}", _decibels(self.latent_psnr_db[step])))
        return "\n".join([*lines, *self._accuracy_lines()])

    def describe(self) -> list[str]:
        """Describe each side in a line: model, stored and executed precision, engine."""
        return [
            f"{name}: {side.model}, stored in {side.stored_precision}, executed in "
            f"{side.executed_precision} on {side.backend}"
            for name, side in zip(SIDES, self.sides, strict=True)
        ]

    def _accuracy_lines(self) -> list[str]:
        if self.accuracy is None:
            return []
        ours, theirs = self.accuracy
        lines = ["", _row("shown as prompted", ["A", "B", "B - A"])]
        for name, share in ours.items():
            points = [100 * share, 100 * theirs[name], 100 * (theirs[name] - share)]
            figures = [f"{points[0]:.1f} %", f"{points[1]:.1f} %", f"{points[2]:+.1f}"]
            lines.append(_row(TOTALS.get(name, name), figures))
        return lines


def shown_steps(count: int) -> list[int]:
    """Give indices of some steps, evenly spaced from the first to the last."""
    shown = min(count, SHOWN_STEPS)
    return [round(i * (count - 1) / max(1, shown - 1)) for i in range(shown)]


def decibels(value: float) -> str:
    """Format decibels."""
    return f"{value:.1f}" if math.isfinite(value) else "equal"


def _decibels(spread: Spread) -> list[str]:
    return [decibels(value) for value in asdict(spread).values()]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:22}" + "".join(f"{cell:>9}" for cell in cells)


def _side(side: Parameters) -> dict[str, Any]:
    names = (
        *("model", "model_hash", "stored_precision", "executed_precision"),
        *("backend", "threads", "version"),
    )
    return {name: getattr(side, name) for name in names}


def _settings(side: Parameters) -> dict[str, Any]:
    names = (
        *("width", "height", "num_inference_steps", "guidance_scale"),
        *("sampler", "sampler_options", "scheduler", "spacing", "steps_offset"),
    )
    return {name: getattr(side, name) for name in names}


def _spread(spread: Spread) -> dict[str, float | None]:
    return {name: _or_none(value) for name, value in asdict(spread).items()}


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
