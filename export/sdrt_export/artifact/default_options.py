"""How an artifact makes pictures when nobody says: the model's own way, or what was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdrt.manifest import Defaults, Manifest
from sdrt.request.options import Options
from sdrt.request.resolve import resolve
from sdrt.sampling.samplers.sampler import Option


@dataclass(frozen=True)
class Asked:
    """What is to become an artifact's default, or to be built into a single graph."""

    sampler: str | None = None
    """None: the model's own, as with everything here."""
    scheduler: str | None = None
    steps: int | None = None
    size: tuple[int, int] | None = None
    """Width and height in pixels; None: any, in every call of a single graph."""
    guidance_scale: float | None = None
    sampler_options: Mapping[str, Option] = field(default_factory=dict)

    def options(self) -> Options:
        """As keyword arguments of a pipeline."""
        given: Options = {"seed": 0}
        if self.sampler is not None:
            given["sampler"] = self.sampler
        if self.scheduler is not None:
            given["scheduler"] = self.scheduler
        if self.steps is not None:
            given["num_inference_steps"] = self.steps
        if self.size is not None:
            given["width"], given["height"] = self.size
        if self.guidance_scale is not None:
            given["guidance_scale"] = self.guidance_scale
        if self.sampler_options:
            given["sampler_options"] = self.sampler_options
        return given

    def defaults(self, manifest: Manifest) -> Defaults:
        """Those of a model with what was asked for; raises `UsageError` for what cannot be."""
        # Of the networks it takes none: an inpainting model's would want a picture.
        request = resolve(manifest.model_copy(update={"graphs": {}}), "", self.options())
        return Defaults(
            width=request.width,
            height=request.height,
            num_inference_steps=request.num_inference_steps,
            sampler=request.sampler_settings.sampler,
            scheduler=request.sampler_settings.scheduler,
            sampler_options=dict(request.sampler_settings.options),
            guidance_scale=request.guidance.scale,
        )
