"""Generation options of an export -> the defaults of its manifest, as the runtime resolves them."""

from sdrt.manifest import Defaults, Manifest
from sdrt.request.options import Options
from sdrt.request.resolve import resolve
from sdrt_export.export_options import DefaultOptions


def pipeline_options(given: DefaultOptions) -> Options:
    """The given options as keyword arguments of a pipeline."""
    options: Options = {"seed": 0}
    if given.sampler is not None:
        options["sampler"] = given.sampler
    if given.scheduler is not None:
        options["scheduler"] = given.scheduler
    if given.steps is not None:
        options["num_inference_steps"] = given.steps
    if given.size is not None:
        options["width"], options["height"] = given.size
    if given.guidance_scale is not None:
        options["guidance_scale"] = given.guidance_scale
    if given.sampler_options:
        options["sampler_options"] = given.sampler_options
    return options


def with_options(manifest: Manifest, given: DefaultOptions) -> Defaults:
    """A model's defaults changed by the given options.

    Raises `UsageError` for options that the model cannot have.
    """
    # Without its graphs, because an inpainting model's would demand an image.
    request = resolve(manifest.model_copy(update={"graphs": {}}), "", pipeline_options(given))
    return Defaults(
        width=request.width,
        height=request.height,
        num_inference_steps=request.num_inference_steps,
        sampler=request.sampler_settings.sampler,
        scheduler=request.sampler_settings.scheduler,
        sampler_options=dict(request.sampler_settings.options),
        guidance_scale=request.guidance.scale,
    )
