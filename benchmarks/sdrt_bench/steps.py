"""Seconds and memory of one U-Net step: torch, and every engine and precision, in one run.

Each is measured in a process of its own, so that memory belongs to it alone; rounds are
interleaved, so that a slow minute of the machine hits all of them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdrt import machine
from sdrt.backends import Array, open_backend


@dataclass(frozen=True)
class Measurement:
    """One engine in one precision, on one shape; raw times are kept."""

    engine: str
    stored: str
    """Precision of the weights on disk."""
    asked: str
    executed: str
    """Precision that the engine really ran."""
    shares: dict[str, float]
    """Of the multiply-adds, by the precision that they ran in."""
    load_s: float
    step_s: tuple[float, ...]
    peak_bytes: int
    """Largest resident memory of the process, loading included."""
    steady_bytes: int
    """Resident memory after the last step."""


def main() -> None:
    """Measure all variants, `--rounds` times each, and print a JSON record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fp32", type=Path, required=True, help="artifact stored in fp32")
    parser.add_argument("--bf16", type=Path, help="artifact stored in bf16")
    parser.add_argument("--int8", type=Path, help="artifact stored in int8")
    parser.add_argument("--torch", metavar="PRESET", help="also torch, with this geometry")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4, help="in each round, after a warm-up")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(asdict(measure(json.loads(args.one)))))
        return
    variants = _variants(args, machine.has_bf16())
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(args.rounds):
        for variant in variants:
            record = _in_a_process(variant)
            key = " ".join(record[name] for name in ("engine", "stored", "asked"))
            found.setdefault(key, []).append(record)
            print(_line(record), file=sys.stderr, flush=True)
    print(json.dumps({"machine": _machine(), "size": args.size, "measured": found}, indent=1))
    print(_table(found), file=sys.stderr)


def measure(variant: dict[str, Any]) -> Measurement:
    """Load one variant and time its steps; the first step is a warm-up."""
    started = time.perf_counter()
    step, describe = _torch_step(variant) if variant["engine"] == "torch" else _step(variant)
    loaded = time.perf_counter() - started
    step()
    times = []
    for _ in range(variant["steps"]):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    shares = describe()
    return Measurement(
        engine=variant["engine"],
        stored=variant["stored"],
        asked=variant["precision"],
        executed=max(shares, key=lambda precision: shares[precision]),
        shares=shares,
        load_s=loaded,
        step_s=tuple(times),
        peak_bytes=machine.peak_memory_bytes(),
        steady_bytes=_resident_bytes(),
    )


def _step(
    variant: dict[str, Any],
) -> tuple[Callable[[], object], Callable[[], dict[str, float]]]:
    from sdrt.artifact import open_artifact

    artifact = open_artifact(variant["artifact"])
    backend = open_backend(
        variant["engine"], threads=variant["threads"], precision=variant["precision"]
    )
    unet = backend.open(artifact.network("unet", backend.formats))
    side = variant["size"] // artifact.manifest.latent.downscale
    width = next(i for i in unet.network.spec.inputs if i.name == "encoder_hidden_states").shape[2]
    feeds = _feeds(side, int(width))
    unet.prepare({name: array.shape for name, array in feeds.items()})
    return lambda: unet.run(feeds), lambda: dict(unet.executed().shares)


def _torch_step(
    variant: dict[str, Any],
) -> tuple[Callable[[], object], Callable[[], dict[str, float]]]:
    import torch

    from sdrt_export.checkpoint import RandomCheckpoint
    from sdrt_export.config import read_preset

    torch.set_num_threads(variant["threads"])
    name, preset = read_preset(variant["artifact"])
    assert preset.geometry is not None
    unet = RandomCheckpoint.of(name, preset).unet()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[variant["precision"]]
    unet.to(dtype)
    side = variant["size"] // 2 ** (len(preset.geometry.vae["block_out_channels"]) - 1)
    feeds = _feeds(side, preset.geometry.unet["cross_attention_dim"])
    tensors = {name: torch.from_numpy(array).to(dtype) for name, array in feeds.items()}

    def step() -> object:
        with torch.no_grad():
            return unet(**tensors).sample

    return step, lambda: {variant["precision"]: 1.0}


def _feeds(side: int, width: int) -> dict[str, Array]:
    """One step with guidance: a batch of two."""
    rng = np.random.default_rng(0)
    return {
        "sample": rng.standard_normal((2, 4, side, side), np.float32),
        "timestep": np.array(500, np.float32),
        "encoder_hidden_states": rng.standard_normal((2, 77, width), np.float32),
    }


def _variants(args: argparse.Namespace, has_bf16: bool) -> list[dict[str, Any]]:
    """What to measure; bf16 arithmetic only where the processor has it."""
    shared = {"size": args.size, "steps": args.steps, "threads": args.threads}
    arithmetics = ("fp32", "bf16") if has_bf16 else ("fp32",)
    rows = [("torch", one, one, args.torch) for one in arithmetics if args.torch]
    rows += [(engine, "fp32", "fp32", args.fp32) for engine in ("onnxruntime", "openvino")]
    if args.bf16:
        rows.append(("onnxruntime", "bf16", "fp32", args.bf16))
        rows += [("openvino", "bf16", one, args.bf16) for one in arithmetics]
    if args.int8:
        rows += [(engine, "int8", "int8", args.int8) for engine in ("onnxruntime", "openvino")]
    return [
        {"engine": engine, "stored": stored, "precision": asked, "artifact": str(path), **shared}
        for engine, stored, asked, path in rows
    ]


def _in_a_process(variant: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "sdrt_bench.steps", "--fp32", "."]
    command += ["--one", json.dumps(variant)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{variant['engine']} {variant['precision']} failed:\n{done.stderr}")
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def _machine() -> dict[str, Any]:
    return {
        "processor": machine.processor(),
        "instruction_sets": machine.instruction_sets(),
        "cores": machine.usable_cores(),
    }


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _line(record: dict[str, Any]) -> str:
    return (
        f"{record['engine']}, {record['stored']} weights, executed {_shares(record)}: "
        f"{statistics.median(record['step_s']):.3f} s a step, load {record['load_s']:.1f} s, "
        f"peak {record['peak_bytes'] / 1e9:.2f} GB, after {record['steady_bytes'] / 1e9:.2f} GB"
    )


def _shares(record: dict[str, Any]) -> str:
    """ "fp32", or "89 % int8, 11 % bf16" of the multiply-adds."""
    by_size = sorted(record["shares"].items(), key=lambda share: -share[1])
    if by_size[0][1] >= 0.995:
        return str(by_size[0][0])
    return ", ".join(f"{share:.0%} {name}".replace("%", " %") for name, share in by_size)


def _table(found: dict[str, list[dict[str, Any]]]) -> str:
    first: float | None = None
    lines = [
        "| engine | stored | executed | s / step | ratio | peak RSS | RSS after |",
        "|---|---|---|---|---|---|---|",
    ]
    for records in found.values():
        median = statistics.median(time for record in records for time in record["step_s"])
        first = first or median
        peak, after = (max(r[key] for r in records) / 1e9 for key in ("peak_bytes", "steady_bytes"))
        what = f"{records[0]['engine']} | {records[0]['stored']} | {_shares(records[0])}"
        lines.append(
            f"| {what} | {median:.2f} | {median / first:.2f} | {peak:.1f} GB | {after:.1f} GB |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
