"""Presets of speed for a model folder, chosen from a record."""

from sdrt.errors import UsageError
from sdrt.files.tuned_speed import TunedFile, TunedPreset
from sdrt.version import __version__
from sdrt_bench.tune.best import balanced, fast
from sdrt_bench.tune.record import TuneRecord
from sdrt_bench.tune.setting import Setting


def tuned_presets(record: TuneRecord) -> TunedFile:
    """The presets of the model whose time was measured.

    Raises `UsageError` where the search did not get so far as to choose them.
    """
    chosen = {"balanced": balanced(record), "fast": fast(record)}
    missing = [name for name, result in chosen.items() if result is None]
    if missing:
        raise UsageError(
            f"nothing that was tried makes the preset {missing[0]!r}: it has to be compared with "
            "the peers' default; the same command goes on, and --budget gives it more time"
        )
    identity = record.identity
    return TunedFile(
        model_hash=identity.timed_model_hash,
        processor=identity.processor,
        presets={name: _preset(result.setting) for name, result in chosen.items() if result},
        made_with={"sdrt": __version__},
    )


def _preset(setting: Setting) -> TunedPreset:
    sampler_options = {"rho": setting.rho, "sigma_min": setting.sigma_min}
    return TunedPreset(
        sampler=setting.sampler,
        scheduler=setting.scheduler,
        spacing=setting.spacing,
        sampler_options={
            name: value for name, value in sampler_options.items() if value is not None
        },
        num_inference_steps=setting.steps,
        guidance_start=setting.guidance_start,
        guidance_end=setting.guidance_end,
        cache_interval=setting.cache_interval,
    )
