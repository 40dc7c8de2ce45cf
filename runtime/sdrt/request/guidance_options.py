"""Reads the options of classifier-free guidance."""

import math

from sdrt import validation
from sdrt.errors import UsageError
from sdrt.manifest import Manifest
from sdrt.request.ignored_options import check_guides_itself
from sdrt.request.options import Options
from sdrt.sampling.guidance import Guidance

IMAGE_GUIDANCE = 1.5  # InstructPix2Pix's own default


def read_guidance(manifest: Manifest, options: Options, guides_itself: bool) -> Guidance:
    """Read strength, interval and rescaling; raises `UsageError`.

    A U-Net that guides itself (LCM) was trained on strengths from 1, and takes no other options.
    """
    scale = options.get("guidance_scale", manifest.defaults.guidance_scale)
    whose = f" of {manifest.name!r}, which its U-Net takes as an input," if guides_itself else ""
    guidance = Guidance(
        scale=validation.number(f"guidance scale{whose}", scale, math.inf, low=int(guides_itself)),
        image_scale=_read_image_scale(manifest, options),
        rescale=validation.number("guidance rescale", options.get("guidance_rescale", 0.0), 1),
        start=validation.number("guidance start", options.get("guidance_start", 0.0), 1),
        end=validation.number("guidance end", options.get("guidance_end", 1.0), 1),
        is_split=validation.flag("guidance_split", options.get("guidance_split", False)),
    )
    if guidance.start > guidance.end:
        raise UsageError(
            f"guidance starts at {guidance.start} and ends at {guidance.end}; expected the start "
            "before the end"
        )
    if guides_itself:
        check_guides_itself(manifest.name, guidance)
    return guidance


def _read_image_scale(manifest: Manifest, options: Options) -> float:
    """How near a model that edits images stays to the image; 1 for every other model."""
    value = options.get("image_guidance_scale")
    if manifest.edits:
        scale = IMAGE_GUIDANCE if value is None else value
        return validation.number("image_guidance_scale", scale, math.inf, low=1)
    if value is not None:
        raise UsageError(
            "image_guidance_scale is for models that edit pictures (InstructPix2Pix), not for "
            f"{manifest.name!r}"
        )
    return 1.0
