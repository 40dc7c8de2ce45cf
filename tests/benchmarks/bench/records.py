"""Records that nobody measured, with every kind of row in them."""

import base64
import io
import random
from statistics import fmean, median, pstdev
from typing import Any

from PIL import Image

from sdrt_bench.bench.record import (
    Cell,
    CellFidelity,
    Compute,
    MachineInfo,
    Params,
    Peak,
    Precision,
    Record,
    Round,
    ScalingFit,
    Stats,
)

GIGA = 10**9
HOSTILE = '<script src="https://evil.example/x.js">|`&\x1b[2J'
# Seconds a step, GB at the peak and on disk, decibels against fp32, share of the peak.
OURS = {
    ("onnxruntime", "fp32"): (5.40, 7.0, 4.3, None, 0.71),
    ("onnxruntime", "bf16"): (5.55, 8.1, 2.2, 44.0, 0.69),
    ("onnxruntime", "int8"): (3.90, 2.6, 1.1, 24.5, 0.22),
    ("openvino", "fp32"): (6.00, 4.6, 4.3, 88.0, 0.64),
    ("openvino", "bf16"): (2.45, 3.9, 2.2, 43.1, 0.58),
    ("openvino", "int8"): (1.60, 2.0, 1.1, 25.2, 0.34),
}
PEERS = {
    ("diffusers", "torch", "fp32", "default"): (9.0, 5.6),
    ("diffusers", "torch", "bf16", "best"): (4.35, 4.4),
    ("openvino-genai", "openvino", "bf16", "default"): (2.47, 4.6),
    ("stable-diffusion.cpp", "ggml", "f16", "default"): (28.0, 3.1),
}
PEAKS = {"fp32": 210.0, "bf16": 560.0, "int8": 1450.0}
GFLOP = 803.0


def stats_of(rounds: tuple[Round, ...]) -> Stats:
    data = sorted(step for measured in rounds for step in measured.step_s[1:])
    middle = median(data)
    return Stats(
        data=tuple(data),
        rounds=len(rounds),
        min=data[0],
        max=data[-1],
        mean=fmean(data),
        stddev=pstdev(data),
        median=middle,
        p10=data[len(data) // 10],
        p90=data[-1 - len(data) // 10],
        mad=median(abs(value - middle) for value in data),
        ops=1 / fmean(data),
    )


def rounds_of(
    step: float,
    count: int = 3,
    steps: int = 8,
    spread: float = 0.02,
    drift: float = 0.0,
    seed: int = 0,
    peak: int = 2 * GIGA,
) -> tuple[Round, ...]:
    """Steps around `step` seconds; `drift` is how far apart whole rounds may be."""
    chance = random.Random(seed)
    rounds = []
    for _ in range(count):
        center = step * (1 + chance.uniform(-drift, drift))
        times = [center * (1 + chance.gauss(0, spread)) for _ in range(steps)]
        times[0] *= 1.15
        rounds.append(
            Round(
                load_s={"text_encoder": 0.3, "unet": 3.1 + step / 4, "vae_decoder": 0.6},
                first_step_end_s=4.5 + step,
                text_encoder_s=0.04,
                warmup_step_s=(step * 1.2,),
                step_s=tuple(times),
                sampler_s=0.01,
                vae_decoder_s=1.2 + step / 2,
                image_s=0.04 + sum(times) + 1.2 + step / 2,
                steps_run=steps,
                peak_rss=peak,
                steady_rss=int(peak * 0.72),
                peak_pss=int(peak * 0.97),
            )
        )
    return tuple(rounds)


def cell(
    step: float = 2.0, params: dict[str, Any] | None = None, sampling: dict[str, Any] | None = None
) -> Cell:
    """A measured cell; `params` and `sampling` say what differs from openvino bf16."""
    asked = Params(
        **{
            **{"model": "sd15", "backend": "openvino", "precision": "bf16", "threads": 2},
            **{"width": 512, "height": 512, "steps": 8},
            **(params or {}),
        }
    )
    rounds = rounds_of(step, **(sampling or {}))
    size = f"{asked.width}x{asked.height} b{asked.batch}"
    return Cell(
        name=f"{asked.tool} {asked.backend} {asked.precision} {asked.settings} {size}",
        group=size,
        params=asked,
        rounds=rounds,
        stats=stats_of(rounds),
        images_per_hour=3600 / fmean(measured.image_s or 0 for measured in rounds),
    )


def record(*cells: Cell, **fields: Any) -> Record:
    """A record of these cells."""
    machine = MachineInfo(
        processor="AMD EPYC 9005",
        instruction_sets=("AVX2", "AVX512F", "AVX512_BF16", "AVX512_VNNI"),
        cores=2,
        memory_bytes=16 * GIGA,
        system="Linux 6.12",
        python="3.11.9",
        versions={"onnxruntime": "1.31.1", "openvino": "2026.4.1"},
        peaks=tuple(
            Peak(
                backend=backend,
                precision=precision,
                executed=precision,
                kind=kind,
                gflops=gflops * (0.9 if kind == "conv" else 1),
            )
            for backend in ("onnxruntime", "openvino")
            for precision, gflops in PEAKS.items()
            for kind in ("gemm", "conv")
            if (backend, precision) != ("onnxruntime", "bf16")
        ),
    )
    given: dict[str, Any] = {
        "version": "0.1.0",
        "datetime": "2026-11-25T08:00:00+00:00",
        "command": ("sdrt", "bench", "--preset", "sd15", "--random"),
        "machine_info": machine,
        "benchmarks": cells,
        **fields,
    }
    return Record(**given)


def full_record() -> Record:
    """Two engines, three precisions, four peers, a failed row, a skipped one, and a sweep."""
    sweep = [
        cell(0.1 + 1.8e-6 * size * size * 4, {"width": size, "height": size, "model": "demo"})
        for size in (64, 128, 256, 320)
    ]
    cells = [*_ours(), *_peers(), *_without_result(), *sweep]
    fit = ScalingFit(
        axis="size",
        cells=tuple(point.name for point in sweep),
        x=tuple(float(point.params.width**2) for point in sweep),
        y=tuple(point.stats.median for point in sweep if point.stats),
        y_label="seconds a step",
        exponent=0.93,
        constant=0.1,
        slope=7.2e-6,
        r_squared=0.998,
    )
    return record(*cells, scaling=(fit,))


def _ours() -> list[Cell]:
    cells = []
    for number, ((backend, precision), (step, peak, disk, psnr, share)) in enumerate(OURS.items()):
        asked = {"backend": backend, "precision": precision}
        made = cell(step, asked, {"seed": number, "peak": int(peak * GIGA)})
        ran = "fp32" if (backend, precision) == ("onnxruntime", "bf16") else precision
        mixed = {"int8": 0.64, "bf16": 0.36} if ran == "int8" else {ran: 1.0}
        cells.append(
            made.model_copy(
                update={
                    "precision": Precision(
                        requested=precision,
                        stored=precision,
                        executed=ran,
                        shares=mixed,
                        layer_shares={"int8": 0.97} if ran == "int8" else {ran: 1.0},
                    ),
                    "artifact_bytes": int(disk * GIGA),
                    "compute": Compute(
                        gflop_per_step=GFLOP,
                        gflop_attention=190,
                        achieved_gflops=GFLOP / step,
                        peak_gflops=GFLOP / step / share,
                        share_of_peak=share,
                    ),
                    "fidelity": CellFidelity(
                        reference="sdrt onnxruntime fp32 ours 512x512 b1",
                        image_psnr_db=psnr,
                        image_ssim=1.0 if psnr is None else 0.98,
                        sqnr_db={"unet": psnr},
                    ),
                    "timing_warnings": ("steal time 4 %",) if number == 3 else (),
                    "image": png((40 * number, 120, 255 - 40 * number)),
                }
            )
        )
    return cells


def _peers() -> list[Cell]:
    cells = []
    for (tool, backend, precision, settings), (step, peak) in PEERS.items():
        asked = {"tool": tool, "backend": backend, "precision": precision, "settings": settings}
        made = cell(step, asked, {"peak": int(peak * GIGA), "count": 2})
        rounds = tuple(
            measured.model_copy(
                update={"load_s": {"pipeline": 6.0}, "text_encoder_s": None, "steady_rss": None}
            )
            for measured in made.rounds
        )
        cells.append(made.model_copy(update={"rounds": rounds}))
    return cells


def _without_result() -> list[Cell]:
    failed = cell(1.0, {"tool": "optimum-intel", "precision": "int8", "settings": "default"})
    skipped = cell(1.0, {"tool": "optimum-onnx", "precision": "fp32", "settings": "default"})
    nothing = {"rounds": (), "stats": None, "images_per_hour": None}
    why = "pip could not install optimum-intel 2.2.0: no matching distribution"
    return [
        failed.model_copy(update={**nothing, "status": "failed", "error": why}),
        skipped.model_copy(
            update={**nothing, "status": "skipped", "error": "needs 21 GB, 15 GB are available"}
        ),
    ]


def png(color: tuple[int, int, int]) -> str:
    """PNG in base64."""
    paper = io.BytesIO()
    Image.new("RGB", (64, 64), color).save(paper, "PNG")
    return base64.b64encode(paper.getvalue()).decode()
