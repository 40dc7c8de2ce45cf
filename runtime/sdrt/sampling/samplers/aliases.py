"""Names of samplers in diffusers, AUTOMATIC1111's web UI and k-diffusion."""

from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.sampling.sigma_schedules import SIGMA_SCHEDULES

DIFFUSERS = {
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "PNDMScheduler": "plms",
    "EulerDiscreteScheduler": "euler",
    "EulerAncestralDiscreteScheduler": "euler_a",
    "HeunDiscreteScheduler": "heun",
    "KDPM2DiscreteScheduler": "dpm2",
    "KDPM2AncestralDiscreteScheduler": "dpm2_a",
    "LMSDiscreteScheduler": "lms",
    "DPMSolverMultistepScheduler": "dpm++2m",
    "DPMSolverSinglestepScheduler": "dpm++2s",
    "DPMSolverSDEScheduler": "dpm++sde",
    "UniPCMultistepScheduler": "unipc",
    "DEISMultistepScheduler": "deis",
    "IPNDMScheduler": "ipndm",
    "LCMScheduler": "lcm",
    "TCDScheduler": "tcd",
}


def find_sampler(name: str) -> tuple[str, str | None] | None:
    """The sampler of a name, and the scheduler if the name ends with one; None if unknown.

    "DPM++ 2M Karras", "dpmpp_2m" and "DPMSolverMultistepScheduler" all mean `dpm++2m`.
    """
    if name in SAMPLERS:
        return name, None
    if name in DIFFUSERS:
        return DIFFUSERS[name], None
    *words, last = name.lower().replace("_", " ").split() or [""]
    scheduler = last if words and last in SIGMA_SCHEDULES else None
    wanted = _squeezed(" ".join(words) if scheduler else name)
    for known, sampler in SAMPLERS.items():
        if wanted in (_squeezed(known), _squeezed(sampler.a1111)):
            return known, scheduler
    return None


def _squeezed(name: str) -> str:
    return "".join(c for c in name.lower().replace("dpmpp", "dpm++") if c not in " _-")
