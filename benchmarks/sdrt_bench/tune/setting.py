"""A setting: everything about how a picture is made that costs time or closeness."""

from typing import cast

from sdrt.manifest import Model, Spacing
from sdrt.request.options import Options

PLAIN = "dpm++2m"
"""The sampler that tricks are compared with, and that makes the converged pictures."""
PEERS_STEPS = 20
PEERS_DEFAULT = "peers' default"
"""The name of so many steps of ddim, which is what other tools do unless told otherwise."""


class Setting(Model):
    """A sampler, its noise levels, and the tricks that spare evaluations of the U-Net."""

    sampler: str
    steps: int
    scheduler: str = "default"
    spacing: Spacing | None = None
    """Spacing of timesteps, for the scheduler "default" alone; None is the model's own."""
    rho: float | None = None
    sigma_min: float | None = None
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    cache_interval: int = 1
    """Every so many evaluations the whole U-Net is computed."""

    @property
    def uses_trick(self) -> bool:
        """Whether it has anything but a sampler, spaced noise levels, and a number of steps."""
        bare = Setting(
            sampler=self.sampler, steps=self.steps, scheduler=self.scheduler, spacing=self.spacing
        )
        return self != bare

    @property
    def options(self) -> Options:
        """The options of a run; tricks that are not in use are left out."""
        sampler_options = {"rho": self.rho, "sigma_min": self.sigma_min}
        tricks = {
            "guidance_start": (self.guidance_start, 0.0),
            "guidance_end": (self.guidance_end, 1.0),
            "cache_interval": (self.cache_interval, 1),
        }
        options: dict[str, object] = {
            "sampler": self.sampler,
            "num_inference_steps": self.steps,
            "scheduler": self.scheduler,
            "sampler_options": {
                name: value for name, value in sampler_options.items() if value is not None
            },
            **{name: value for name, (value, unused) in tricks.items() if value != unused},
        }
        if self.spacing is not None:
            options["spacing"] = self.spacing
        return cast(Options, options)

    @property
    def label(self) -> str:
        """Name it in few words."""
        levels = self.scheduler if self.scheduler != "default" else self.spacing or "default"
        words = [f"{self.sampler} {levels} {self.steps}"]
        if self.rho is not None:
            words.append(f"rho {self.rho:g}")
        if self.sigma_min is not None:
            words.append(f"sigma_min {self.sigma_min:g}")
        if (self.guidance_start, self.guidance_end) != (0.0, 1.0):
            words.append(f"guidance {self.guidance_start:g} to {self.guidance_end:g}")
        if self.cache_interval != 1:
            words.append(f"cache {self.cache_interval}")
        return ", ".join(words)
