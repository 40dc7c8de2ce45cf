"""What a picture costs: its evaluations of the U-Net by kind, and the seconds of each kind."""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import median

import numpy as np

from sdrt.arrays import Latents
from sdrt.manifest import Model
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt_bench.compare.run import Watch
from sdrt_bench.tune.setting import Setting

ROUNDS = 3
MOST_ROUNDS = 12
ENOUGH_S = 10.0
"""Small models are measured in more than `ROUNDS`, until they took so long."""
STEPS = 4
INTERVAL = 2  # of the runs that show what whole and shallow evaluations cost
SEED = 0
PROMPT = "a boat on a lake in the morning"


class Costs(Model):
    """Seconds of one picture's parts; each is a median."""

    text_encoder_s: float
    vae_decoder_s: float
    other_s: float
    """What a picture takes besides its networks and steps."""
    evaluation_s: Mapping[str, float]
    """A step with one evaluation, by the kind that `evaluations` names."""

    def seconds(self, kinds: Sequence[str]) -> float:
        """Predict the time of a picture with these evaluations."""
        steps = sum(self.evaluation_s[kind] for kind in kinds)
        return self.text_encoder_s + steps + self.vae_decoder_s + self.other_s


def evaluations(model: Pipeline, options: Options) -> list[str]:
    """The kind of each evaluation of a run, in order; loads nothing.

    The sampler goes its way on a single latent, so that it is the one who counts. Where deep
    features are used again, an evaluation is whole when it is due, or guided after whole ones that
    were not.
    """
    request = model.start("", **options).request
    steps, reuse = request.steps(model.training_noise), request.feature_reuse
    kinds: list[str] = []
    has_negative = False

    def denoise(x: Latents, sigma: float) -> Latents:
        nonlocal has_negative
        is_guided = request.is_guided and request.guidance.covers(steps.progress(sigma))
        is_whole = reuse.is_whole(len(kinds)) or (is_guided and not has_negative)
        if is_whole:
            has_negative = is_guided
        form = (", whole" if is_whole else ", shallow") if reuse.is_on else ""
        kinds.append(f"{'guided' if is_guided else 'unguided'}{form}")
        return x

    latent: Latents = np.ones((1, 1, 1, 1), np.float32)
    for _ in request.sampler_settings.trajectory(denoise, latent, steps, lambda: latent):
        pass
    return kinds


class Clock:
    """Measures pictures on one model and predicts their time."""

    def __init__(self, model: Pipeline, options: Options, watch: Watch) -> None:
        """`options` are those of every picture, such as its size."""
        self._model, self._options, self._watch = model, options, watch
        self._kinds: dict[Setting, list[str]] = {}

    @cached_property
    def is_guided(self) -> bool:
        """Whether steps are guided unless a setting leaves that out."""
        return self._model.start("", **self._options).request.is_guided

    def evaluations(self, setting: Setting) -> list[str]:
        """The kind of each evaluation of a setting."""
        if setting not in self._kinds:
            self._kinds[setting] = evaluations(self._model, {**self._options, **setting.options})
        return self._kinds[setting]

    def kinds(self, has_cache: bool) -> set[str]:
        """Every kind of evaluation that settings may have."""
        return {
            name
            for options in self._cost_runs(has_cache)
            for name in evaluations(self._model, options)
        }

    def measure_costs(self, has_cache: bool, rounds: int = ROUNDS) -> Costs:
        """Measure each kind of evaluation, taking turns, in this many rounds or more.

        A first round warms up.
        """
        runs = self._cost_runs(has_cache)
        parts: dict[str, list[float]] = {"text": [], "decoder": [], "other": []}
        steps: dict[str, list[float]] = {}
        started = time.perf_counter()
        for turn in range(MOST_ROUNDS + 1):
            if turn > rounds and time.perf_counter() - started > ENOUGH_S:
                break
            for number, options in enumerate(runs):
                seconds, text, step_s, decoder = self._run(options)
                if turn == 0:
                    continue
                for kind, step in zip(evaluations(self._model, options), step_s, strict=True):
                    steps.setdefault(kind, []).append(step)
                if number == 0:  # a run without guidance encodes one prompt less
                    parts["text"].append(text)
                    parts["decoder"].append(decoder)
                    parts["other"].append(seconds - text - sum(step_s) - decoder)
        return Costs(
            text_encoder_s=median(parts["text"]),
            vae_decoder_s=median(parts["decoder"]),
            other_s=max(0.0, median(parts["other"])),
            evaluation_s={kind: median(values) for kind, values in steps.items()},
        )

    def seconds(self, setting: Setting) -> float:
        """Measure one whole picture; its networks are in memory if they ran before."""
        return self._run({**self._options, **setting.options})[0]

    def _cost_runs(self, has_cache: bool) -> list[Options]:
        """Runs that have every kind of evaluation between them, one a step."""
        plain: Options = {**self._options, **Setting(sampler="ddim", steps=STEPS).options}
        scales = [{}, {"guidance_scale": 1.0}] if self.is_guided else [{}]
        caches = [{}, {"cache_interval": INTERVAL}] if has_cache else [{}]
        return [{**plain, **scale, **cache} for cache in caches for scale in scales]  # type: ignore[typeddict-item]

    def _run(self, options: Options) -> tuple[float, float, list[float], float]:
        """Seconds of a picture, and of its text encoder, steps and decoder."""
        started = time.perf_counter()
        seeded: Options = {**options, "seed": SEED}
        run = self._model.start(PROMPT, **seeded)
        with self._watch(run) as steps:
            for _ in steps:
                pass
            timings = run.result().timings
        seconds = time.perf_counter() - started
        loading = sum(timings.load_s.values())
        return (
            seconds - loading,
            timings.text_encoder_s,
            timings.step_s,
            timings.vae_decoder_s,
        )
