"""Samplers by name: from pure noise to a picture's latents, in the form x = x0 + sigma * noise.

A sampler asks `denoise(x, sigma)` for the clean latents it should aim at, and yields (x, denoised)
after each step, so that whoever iterates can watch, time or stop it. No sampler knows a network, a
prompt, guidance or a timestep; those that add noise on the way are given it by `draw()`.
"""

from functools import partial

from sdrt.samplers.adams import deis, ipndm, lms, plms
from sdrt.samplers.dpm_solver import (
    dpm_solver,
    dpmpp_2m,
    dpmpp_2m_sde,
    dpmpp_2s,
    dpmpp_3m_sde,
)
from sdrt.samplers.one_step import dpm2, dpmpp_2s_a, dpmpp_sde, euler, heun
from sdrt.samplers.sampler import Denoise, Draw, Latents, Method, Sampler, Sigmas, Trajectory
from sdrt.samplers.unipc import unipc

__all__ = ["SAMPLERS", "Denoise", "Draw", "Latents", "Method", "Sampler", "Sigmas", "Trajectory"]

_ancestral = partial(euler, eta=1.0)

SAMPLERS = {
    "ddim": Sampler(euler, "DDIM", "DDIM (Song et al. 2020), first order", ends_at_zero=False),
    "ddpm": Sampler(_ancestral, "DDPM", "DDPM (Ho et al. 2020), first order", is_stochastic=True),
    "plms": Sampler(plms, "PLMS", "pseudo linear multistep (Liu et al. 2022)", ends_at_zero=False),
    "euler": Sampler(euler, "Euler", "Euler (Karras et al. 2022), first order"),
    "euler_a": Sampler(
        _ancestral, "Euler a", "Euler with ancestral noise, first order", is_stochastic=True
    ),
    "heun": Sampler(heun, "Heun", "Heun (Karras et al. 2022), second order", calls=2),
    "dpm2": Sampler(dpm2, "DPM2", "DPM-Solver-2 (Karras et al. 2022), second order", calls=2),
    "dpm2_a": Sampler(
        partial(dpm2, eta=1.0),
        "DPM2 a",
        "DPM-Solver-2 with ancestral noise",
        is_stochastic=True,
        calls=2,
    ),
    "lms": Sampler(lms, "LMS", "linear multistep, up to fourth order"),
    "dpm-solver": Sampler(
        dpm_solver, "DPM-Solver", "DPM-Solver (Lu et al. 2022), second order, multistep"
    ),
    "dpm++2m": Sampler(
        dpmpp_2m, "DPM++ 2M", "DPM-Solver++ 2M (Lu et al. 2022), second order, multistep"
    ),
    "dpm++2m_sde": Sampler(
        dpmpp_2m_sde, "DPM++ 2M SDE", "DPM-Solver++ 2M with noise", is_stochastic=True
    ),
    "dpm++3m_sde": Sampler(
        dpmpp_3m_sde, "DPM++ 3M SDE", "DPM-Solver++ 3M with noise", is_stochastic=True
    ),
    "dpm++2s": Sampler(
        dpmpp_2s, "DPM++ 2S", "DPM-Solver++ 2S (Lu et al. 2022), second order, singlestep"
    ),
    "dpm++2s_a": Sampler(
        dpmpp_2s_a,
        "DPM++ 2S a",
        "DPM-Solver++ 2S with ancestral noise",
        is_stochastic=True,
        calls=2,
    ),
    "dpm++sde": Sampler(
        dpmpp_sde, "DPM++ SDE", "DPM-Solver++ with noise, singlestep", is_stochastic=True, calls=2
    ),
    "unipc": Sampler(unipc, "UniPC", "UniPC (Zhao et al. 2023), predictor and corrector"),
    "deis": Sampler(deis, "DEIS", "DEIS (Zhang and Chen 2022), multistep"),
    "ipndm": Sampler(ipndm, "IPNDM", "improved pseudo numerical method, fourth order"),
}
