"""Samplers by the names that users type, with their options."""

from functools import partial

from sdrt.sampling.samplers.consistency import lcm, tcd
from sdrt.sampling.samplers.dpm_solver import dpm_solver, dpmpp_2m, dpmpp_2s
from sdrt.sampling.samplers.linear_multistep import deis, ipndm, lms, plms
from sdrt.sampling.samplers.sampler import (
    SHARE,
    YES_OR_NO,
    Choice,
    NumberRange,
    Sampler,
)
from sdrt.sampling.samplers.single_step import dpm2, dpmpp_2s_a, dpmpp_sde, euler, heun
from sdrt.sampling.samplers.unipc import unipc

_ETA = {"eta": SHARE}
_ORDER = {"order": Choice((1, 2, 3)), "lower_order_final": YES_OR_NO}
_MIDPOINT = {"solver_type": Choice(("midpoint", "heun"))}
_MULTISTEP = {**_ORDER, **_MIDPOINT, "euler_at_final": YES_OR_NO}
_DISTILLED = {"original_steps": NumberRange(1, 1000, is_whole=True)}
SAMPLERS = {
    "ddim": Sampler(
        euler,
        "DDIM",
        "DDIM (Song et al. 2020), first order",
        "points",
        _ETA,
        ends_at_zero=False,
    ),
    "ddpm": Sampler(
        partial(euler, eta=1.0),
        "DDPM",
        "DDPM (Ho et al. 2020), first order",
        "points",
        is_stochastic=True,
    ),
    "plms": Sampler(
        plms,
        "PLMS",
        "pseudo linear multistep (Liu et al. 2022), fourth order",
        "points",
        {"runge_kutta": YES_OR_NO},
        ends_at_zero=False,
        uses_time=True,
    ),
    "euler": Sampler(euler, "Euler", "Euler (Karras et al. 2022), first order"),
    "euler_a": Sampler(
        partial(euler, eta=1.0),
        "Euler a",
        "Euler with ancestral noise, first order",
        options=_ETA,
        is_stochastic=True,
    ),
    "heun": Sampler(heun, "Heun", "Heun (Karras et al. 2022), second order", calls=2),
    "dpm2": Sampler(dpm2, "DPM2", "DPM-Solver-2 (Karras et al. 2022), second order", calls=2),
    "dpm2_a": Sampler(
        partial(dpm2, eta=1.0),
        "DPM2 a",
        "DPM-Solver-2 with ancestral noise",
        options=_ETA,
        is_stochastic=True,
        calls=2,
    ),
    "lms": Sampler(
        lms,
        "LMS",
        "linear multistep, up to fourth order",
        options={"order": Choice((1, 2, 3, 4))},
    ),
    "dpm-solver": Sampler(
        dpm_solver,
        "DPM-Solver",
        "DPM-Solver (Lu et al. 2022), order 1 to 3, multistep or singlestep",
        "intervals",
        {**_MULTISTEP, "singlestep": YES_OR_NO, "sde": YES_OR_NO},
        ends_at_zero=False,
    ),
    "dpm++2m": Sampler(
        dpmpp_2m,
        "DPM++ 2M",
        "DPM-Solver++ 2M (Lu et al. 2022), second order, multistep",
        "intervals",
        _MULTISTEP,
    ),
    "dpm++2m_sde": Sampler(
        partial(dpmpp_2m, sde=True),
        "DPM++ 2M SDE",
        "DPM-Solver++ 2M with noise",
        "intervals",
        _MULTISTEP,
        is_stochastic=True,
    ),
    "dpm++3m_sde": Sampler(
        partial(dpmpp_2m, order=3, sde=True),
        "DPM++ 3M SDE",
        "DPM-Solver++ 3M with noise",
        "intervals",
        _MULTISTEP,
        is_stochastic=True,
    ),
    "dpm++2s": Sampler(
        dpmpp_2s,
        "DPM++ 2S",
        "DPM-Solver++ 2S (Lu et al. 2022), second order, singlestep",
        "intervals",
        {**_ORDER, **_MIDPOINT},
    ),
    "dpm++2s_a": Sampler(
        dpmpp_2s_a,
        "DPM++ 2S a",
        "DPM-Solver++ 2S with ancestral noise",
        options=_ETA,
        is_stochastic=True,
        calls=2,
    ),
    "dpm++sde": Sampler(
        dpmpp_sde, "DPM++ SDE", "DPM-Solver++ with noise, singlestep", is_stochastic=True, calls=2
    ),
    "unipc": Sampler(
        unipc,
        "UniPC",
        "UniPC (Zhao et al. 2023), predictor and corrector",
        "intervals",
        {**_ORDER, "solver_type": Choice(("bh1", "bh2")), "predict_x0": YES_OR_NO},
    ),
    "deis": Sampler(
        deis,
        "DEIS",
        "DEIS (Zhang and Chen 2022), multistep",
        "intervals",
        _ORDER,
        ends_at_zero=False,
    ),
    "ipndm": Sampler(ipndm, "IPNDM", "improved pseudo numerical method, fourth order"),
    "lcm": Sampler(
        lcm,
        "LCM",
        "latent consistency (Luo et al. 2023), 2 to 8 steps, for distilled models",
        "distilled",
        {**_DISTILLED, "timestep_scaling": NumberRange(1.0, 1000.0)},
        is_stochastic=True,
        is_consistent=True,
    ),
    "tcd": Sampler(
        tcd,
        "TCD",
        "trajectory consistency (Zheng et al. 2024), 2 to 8 steps, for distilled models",
        "distilled",
        {**_DISTILLED, **_ETA},
        ends_at_zero=False,
        is_stochastic=True,
        uses_time=True,
    ),
}
