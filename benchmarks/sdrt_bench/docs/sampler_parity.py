"""How far sdrt's samplers are from the schedulers of diffusers: a table for the documentation.

Both denoise data that are normal with deviation `S`, for which the ideal network has a closed form,
from the same start and with the same noise. What is compared are the latents after every step, in
the form x = x0 + sigma * noise.

    python -m sdrt_bench.docs.sampler_parity docs/measure/sampler-parity.md
"""

import argparse
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from sdrt.arrays import Array, Latents
from sdrt.backends import Network
from sdrt.backends.fake import FakeBackend
from sdrt.files.atomic import whole_file
from sdrt.manifest import GraphSpec, Prediction, TensorSpec
from sdrt.networks.denoiser import Denoiser
from sdrt.sampling.schedule import Steps, TrainingNoise
from sdrt.sampling.scheduler_config import read_sampler_settings, read_schedule

S = 0.6
COUNTS = (4, 10, 20, 50)
LIMIT = 1e-4
SHAPE = (1, 4, 8, 8)

_SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_SPACINGS = ("leading", "trailing", "linspace")
_MULTI, _SINGLE = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
_LOW = {"final_sigmas_type": "sigma_min"}
_NOISE = {"algorithm_type": "dpmsolver", **_LOW}
_SDE_NOISE = {"algorithm_type": "sde-dpmsolver", **_LOW}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_SET = {"set_alpha_to_one": False}
_THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
# DDIM and PNDM step from t to t - 1000 // steps, whatever the next timestep is; and "linspace" ends
# at the lowest level itself, where a scheduler that ends there too makes its last step for nothing.
_WHOLE = ("leading", "trailing")
# Where Karras's levels go from the highest to the lowest of training, and not of the spaced ones.
_RANGE = ("linspace",)
# Else the noise stays that of unclipped latents, and the two no longer add up to the noisy ones.
_ALL = {"use_clipped_model_output": True}


@dataclass(frozen=True)
class Variant:
    """A scheduler class of diffusers with options, and where it cannot be followed."""

    name: str
    """Our sampler, and what of it is special."""
    cls: str
    options: Mapping[str, Any] = field(default_factory=dict)
    refuses: tuple[str, ...] = ()
    """Kinds of prediction that the class refuses or, for PLMS, extrapolates wrongly."""
    spacings: tuple[str, ...] = _SPACINGS
    """Those in which the class goes through the levels that it calls the network at."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What diffusers wants to be told at every step, and not in the scheduler's configuration."""


VARIANTS = (
    Variant("ddim", "DDIMScheduler", {**_SET, "clip_sample": False}, (), _WHOLE),
    Variant(
        "ddim to zero, eta 0.5", "DDIMScheduler", {"clip_sample": False}, (), _WHOLE, {"eta": 0.5}
    ),
    Variant("ddim, clipped", "DDIMScheduler", {**_SET, "clip_sample_range": 0.7}, (), _WHOLE, _ALL),
    Variant("ddim, thresholded", "DDIMScheduler", {**_SET, **_THRESHOLD}, (), _WHOLE, _ALL),
    Variant("ddpm", "DDPMScheduler", {"clip_sample": False}),
    Variant("plms", "PNDMScheduler", {"skip_prk_steps": True}, ("v_prediction", "sample"), _WHOLE),
    Variant("plms, runge_kutta", "PNDMScheduler", {}, ("v_prediction", "sample"), _WHOLE),
    Variant("euler", "EulerDiscreteScheduler"),
    Variant("euler to the lowest level", "EulerDiscreteScheduler", _LOW, spacings=_WHOLE),
    Variant("euler, karras", "EulerDiscreteScheduler", {"use_karras_sigmas": True}, (), _RANGE),
    Variant("euler, beta", "EulerDiscreteScheduler", {"use_beta_sigmas": True}, (), _RANGE),
    Variant("euler_a", "EulerAncestralDiscreteScheduler", refuses=("sample",)),
    Variant("heun", "HeunDiscreteScheduler"),
    Variant("dpm2", "KDPM2DiscreteScheduler", refuses=("sample",)),
    Variant("dpm2_a", "KDPM2AncestralDiscreteScheduler", refuses=("sample",)),
    Variant("lms", "LMSDiscreteScheduler"),
    Variant("dpm-solver, order 1", _MULTI, {**_NOISE, "solver_order": 1}),
    Variant("dpm-solver", _MULTI, _NOISE),
    Variant("dpm-solver, heun", _MULTI, {**_NOISE, "solver_type": "heun"}),
    Variant("dpm-solver, sde", _MULTI, _SDE_NOISE),
    Variant("dpm-solver, singlestep", _SINGLE, _NOISE, spacings=()),
    Variant("dpm-solver, singlestep, order 3", _SINGLE, {**_NOISE, "solver_order": 3}, spacings=()),
    Variant("dpm++2m", _MULTI),
    Variant("dpm++2m, order 1", _MULTI, {"solver_order": 1}),
    Variant("dpm++2m, heun", _MULTI, {"solver_type": "heun"}),
    Variant(
        "dpm++2m, full order to the lowest level",
        _MULTI,
        {"lower_order_final": False, **_LOW},
    ),
    Variant(
        "dpm++2m, euler_at_final",
        _MULTI,
        {"euler_at_final": True, **_LOW},
    ),
    Variant("dpm++2m, zero terminal signal", _MULTI, {"rescale_betas_zero_snr": True}),
    Variant("dpm++2m, karras", _MULTI, {"use_karras_sigmas": True}),
    Variant("dpm++2m, exponential", _MULTI, {"use_exponential_sigmas": True}),
    Variant("dpm++2m_sde", _MULTI, _SDE),
    Variant("dpm++2m_sde, heun", _MULTI, {**_SDE, "solver_type": "heun"}),
    Variant("dpm++2s", _SINGLE, spacings=()),
    Variant("dpm++2s, order 3", _SINGLE, {"solver_order": 3}, spacings=()),
    Variant("dpm++2s, order 3, heun", _SINGLE, {"solver_order": 3, "solver_type": "heun"}, (), ()),
    Variant("dpm++sde", "DPMSolverSDEScheduler", refuses=("sample",)),
    Variant("unipc", "UniPCMultistepScheduler"),
    Variant("unipc, karras", "UniPCMultistepScheduler", {"use_karras_sigmas": True}),
    Variant("unipc, bh1", "UniPCMultistepScheduler", {"solver_type": "bh1"}),
    Variant("unipc, order 3", "UniPCMultistepScheduler", {"solver_order": 3}),
    Variant(
        "unipc on noise",
        "UniPCMultistepScheduler",
        {"predict_x0": False, **_LOW},
    ),
    Variant("deis", "DEISMultistepScheduler"),
    Variant("deis, order 3", "DEISMultistepScheduler", {"solver_order": 3}),
    Variant("lcm", "LCMScheduler", spacings=()),
    Variant("tcd", "TCDScheduler", spacings=()),
)


def predictions(variant: Variant) -> Iterator[Prediction]:
    """Kinds of prediction that the scheduler takes."""
    kinds: tuple[Prediction, ...] = ("epsilon", "v_prediction", "sample")
    yield from (kind for kind in kinds if kind not in variant.refuses)


def make(variant: Variant, prediction: str, spacing: str | None) -> Any:
    """The scheduler of diffusers."""
    options: dict[str, Any] = {**_SD, **variant.options, "prediction_type": prediction}
    if spacing:
        # The offset of Stable Diffusion; without it the last step of "leading" stays where it is.
        options |= {"timestep_spacing": spacing, "steps_offset": int(spacing == "leading")}
    return scheduler_class(variant.cls)(**options)


def scheduler_class(name: str) -> Any:
    """A class of diffusers; the one that wants torchsde takes its noise from us instead."""
    if name != "DPMSolverSDEScheduler":
        return getattr(diffusers, name)
    with patch.dict(sys.modules, {"torchsde": types.ModuleType("torchsde")}):
        module = import_module("diffusers.schedulers.scheduling_dpmsolver_sde")
    return sys.modules.setdefault(module.__name__, module).DPMSolverSDEScheduler


def ideal(x: Any, sigma: float) -> Any:
    """Clean latents that the best possible network finds."""
    return x * (S * S / (S * S + sigma * sigma))


def predicted(clean: Any, x: Any, sigma: float, prediction: str) -> Any:
    """What a network says that was trained on a kind of prediction."""
    noise, scale = (x - clean) / sigma, np.sqrt(1 + sigma**2)
    return {"epsilon": noise, "v_prediction": (noise - clean * sigma) / scale, "sample": clean}[
        prediction
    ]


@dataclass
class Followed:
    """What a scheduler did, in the form x = x0 + sigma * noise."""

    sigmas: list[float]
    timesteps: list[float]
    start: npt.NDArray[np.float64]
    latents: list[npt.NDArray[np.float64]]
    drawn: list[npt.NDArray[np.float64]]


def follow(
    scheduler: Any, count: int, prediction: str, told: Mapping[str, Any] | None = None
) -> Followed:
    """Run a scheduler of diffusers on the ideal network, in float64."""
    scheduler.set_timesteps(count)
    levels = Levels(scheduler)
    rng, drawn = np.random.default_rng(1), []

    def draw(shape: Any = SHAPE, *_: Any, **__: Any) -> torch.Tensor:
        drawn.append(rng.standard_normal(SHAPE))
        return torch.from_numpy(drawn[-1])

    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = draw
    sample = torch.from_numpy(np.random.default_rng(0).standard_normal(SHAPE))
    sample = sample * float(scheduler.init_noise_sigma)
    start = sample.numpy() * levels.scale(levels.run[0])
    states, called = [], []
    module = sys.modules[type(scheduler).__module__]
    with patch.object(module, "randn_tensor", draw, create=True):
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(sample, t).numpy()
            sigma = levels.at(t)
            called.append(sigma)
            x = scaled * np.sqrt(1 + sigma**2)
            output = torch.from_numpy(predicted(ideal(x, sigma), x, sigma, prediction))
            sample = scheduler.step(output, t, sample, **(told or {})).prev_sample
            states.append(sample.numpy())
    ends = [_last_call(levels.run, i, called) for i in range(count)]
    latents = [
        states[end] * levels.scale(sigma) for end, sigma in zip(ends, levels.run[1:], strict=True)
    ]
    timesteps = [float(t) for t in dict.fromkeys(scheduler.timesteps.tolist())]
    return Followed(levels.run, timesteps, start, latents, drawn)


def _last_call(run: list[float], step: int, called: list[float]) -> int:
    """The call that ends a step: the last one before a call at a lower level begins the next."""
    if step == len(run) - 2:
        return len(called) - 1
    at_next = [i for i, sigma in enumerate(called) if sigma == run[step + 1]]
    # Methods with a call at the step's end make two there: the first ends this step.
    begins_next = at_next[-1] if len(at_next) > 1 else at_next[0]
    return begins_next - 1


class Levels:
    """The noise levels of a scheduler, which keeps them in one of three ways."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.has_sigmas = hasattr(scheduler, "sigmas")
        if self.has_sigmas:
            scheduler.sigmas = scheduler.sigmas.double()
            self.run = list(dict.fromkeys(scheduler.sigmas.tolist()))
            return
        own = list(dict.fromkeys(self._of_timestep(t) for t in scheduler.timesteps))
        ends_low = type(scheduler).__name__ == "TCDScheduler"
        one = torch.tensor(1.0)
        last = scheduler.alphas_cumprod[0] if ends_low else one
        if not ends_low:
            last = getattr(scheduler, "final_alpha_cumprod", one)
        if hasattr(scheduler, "prk_timesteps"):  # calls in the middle of Runge-Kutta's steps
            own = [self._of_timestep(t) for t in scheduler._timesteps[::-1]]
        self.run = [*own, self._of_alpha(last)]

    def at(self, t: torch.Tensor) -> float:
        """The level of the next call."""
        scheduler = self.scheduler
        if not self.has_sigmas:
            return self._of_timestep(t)
        if scheduler.step_index is None:
            scheduler._init_step_index(t)
        index = scheduler.step_index
        if hasattr(scheduler, "sigmas_interpol") and not scheduler.state_in_first_order:
            is_ancestral = hasattr(scheduler, "sigmas_up")
            return float(scheduler.sigmas_interpol[index - is_ancestral])
        if hasattr(scheduler, "mid_point_sigma") and not scheduler.state_in_first_order:
            return float(scheduler.mid_point_sigma)
        return float(scheduler.sigmas[index])

    def scale(self, sigma: float) -> float:
        """What turns the scheduler's latents at a level into x0 + sigma * noise."""
        name = type(self.scheduler).__name__
        is_exploding = "Discrete" in name or name == "DPMSolverSDEScheduler"
        return 1.0 if is_exploding else float(np.sqrt(1 + sigma**2))

    def _of_timestep(self, t: Any) -> float:
        return self._of_alpha(self.scheduler.alphas_cumprod[int(t)])

    @staticmethod
    def _of_alpha(alpha: torch.Tensor) -> float:
        return float(((1 - alpha.double()) / alpha.double()).sqrt())


_UNET = GraphSpec(
    files={},
    inputs=(
        TensorSpec(name="sample", dtype="float32", shape=("batch", 4, "height", "width")),
        TensorSpec(name="timestep", dtype="float32", shape=()),
        TensorSpec(name="encoder_hidden_states", dtype="float32", shape=("batch", "tokens", 1)),
    ),
    outputs=(),
)


def ours(
    config: Mapping[str, Any],
    theirs: Followed,
    prediction: Prediction,
    eta: float | None = None,
    on_their_levels: bool = False,
) -> list[Latents]:
    """What sdrt does with a scheduler's configuration: its recipe, its levels, its denoiser.

    On the scheduler's own levels in float64, else in float32 as in every run.
    """
    sampler_settings = read_sampler_settings(config)
    if eta is not None:
        sampler_settings = replace(
            sampler_settings, options={**sampler_settings.options, "eta": eta}
        )
    noise = TrainingNoise.from_schedule(read_schedule(config))
    steps = sampler_settings.steps(noise, len(theirs.latents))
    kind: Any = np.float64 if on_their_levels else np.float32
    if on_their_levels:
        steps = Steps(np.array(theirs.sigmas), steps.timesteps, noise)
    level = 0.0

    def network(name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        x = feeds["sample"] * np.sqrt(1 + level**2)
        return {"out_sample": predicted(ideal(x, level), x, level, prediction).astype(np.float32)}

    denoiser = Denoiser(
        FakeBackend(network).open(Network("unet", _UNET, (), "fp32")),
        steps,
        prediction,
        np.zeros((1, 77, 1), np.float32),
        clipping=sampler_settings.clipping,
        timestep_scaling=sampler_settings.timestep_scaling,
    )

    def denoise(x: Latents, sigma: float) -> Latents:
        nonlocal level
        level = sigma
        return ideal(x, sigma) if on_their_levels else denoiser(x, sigma)

    drawn = iter(theirs.drawn)
    path = sampler_settings.trajectory(
        denoise, theirs.start.astype(kind), steps, lambda: next(drawn).astype(kind)
    )
    return [x for x, _ in path]


def distance(theirs: Followed, found: list[Latents]) -> float:
    """Largest difference over a path, relative to the largest latent of the step."""
    pairs = zip(found, theirs.latents, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def measure(variant: Variant, prediction: Prediction, spacing: str | None, count: int) -> float:
    """How far sdrt is from diffusers, given nothing but the scheduler's configuration."""
    scheduler = make(variant, prediction, spacing)
    config = {**scheduler.config, "_class_name": variant.cls}
    theirs = follow(scheduler, count, prediction, variant.told)
    return distance(theirs, ours(config, theirs, prediction, variant.told.get("eta")))


def main() -> None:
    """Measure every variant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path, help="a Markdown file")
    args = parser.parse_args()
    with whole_file(args.output) as partial:
        partial.write_text("\n".join(report()) + "\n", encoding="utf-8")


HEADER = """# Samplers against diffusers

Made by `python -m sdrt_bench.docs.sampler_parity` with diffusers {version}. Each figure is the
largest difference of the latents over a whole run, relative to the largest latent, among runs of
{counts} steps on normally distributed data with the ideal network for them, from the same start
and with the same noise. sdrt is given only the scheduler's configuration, and computes in float32;
diffusers computes in float64, on its own float32 noise levels.
"""


def report() -> Iterator[str]:
    """The page, line by line."""
    yield HEADER.format(version=diffusers.__version__, counts=", ".join(map(str, COUNTS)))
    yield "| sampler | class | spacing | epsilon | v_prediction | sample |"
    yield "|---|---|---|---|---|---|"
    for variant in VARIANTS:
        for spacing in variant.spacings or (None,):
            cells = [
                f"{max(measure(variant, kind, spacing, n) for n in COUNTS):.0e}"
                if kind not in variant.refuses
                else "-"
                for kind in ("epsilon", "v_prediction", "sample")
            ]
            row = [variant.name, variant.cls, spacing or "its own", *cells]
            yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    main()
