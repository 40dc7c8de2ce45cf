"""A report on this machine and its engines, with a self-test of what they compute."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sdrt import machine
from sdrt.arrays import Array, snr_db
from sdrt.artifact.artifact import Artifact, open_artifact
from sdrt.backends.backend import is_installed, open_backend, usable_backends
from sdrt.cores import placement
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.errors import SdrtError
from sdrt.manifest import Precision
from sdrt.version import __version__

PACKAGES = ("onnxruntime", "openvino", "numpy", "tokenizers", "pillow", "torch", "diffusers")
# Precisions of a float network, and the least signal-to-noise ratio of a right result in each.
# OpenVINO's bf16 has been wrong on whole processor families; where it is right, it has about 30 dB.
FLOOR_DB: dict[Precision, float] = {"fp32": 60.0, "bf16": 20.0}


def examine() -> dict[str, dict[str, Any]]:
    """Report versions, processor, memory and engines, and the results of a self-test."""
    total, available = machine.memory_bytes()
    cores = placement()
    return {
        "versions": {
            "sdrt": __version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            **{name: _version(name) for name in PACKAGES},
        },
        "machine": {
            "processor": machine.processor(),
            "instruction sets": " ".join(machine.instruction_sets()) or "unknown",
            "usable cores": len(cores.usable),
            "threads": "; ".join([str(cores.threads), *cores.reasons]),
            "memory": f"{total / 2**30:.1f} GiB, {available / 2**30:.1f} GiB available",
        },
        "engines": _engines(),
        "self-test": _self_test(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _engines() -> dict[str, str]:
    engines = {}
    for name in usable_backends():
        try:
            backend = open_backend(name)
            devices = ", ".join(backend.devices)
            engines[name] = f"{backend.threads} threads; devices: {devices}"
        except SdrtError as error:
            engines[name] = f"does not open: {error}"
    return engines


def _self_test() -> dict[str, str]:
    """Test layers in bf16, then the embedded U-Net in every engine and precision."""
    results = _test_layers()
    try:
        artifact = open_artifact()
    except SdrtError as error:
        return {**results, "embedded model": f"failed: {error}"}
    reference: Array | None = None
    for name in reversed(usable_backends()):
        for precision in list(FLOOR_DB) if name == "openvino" else list(FLOOR_DB)[:1]:
            label = f"{name} {precision}"
            try:
                output, warnings = _run(artifact, name, precision)
            except SdrtError as error:
                results[label] = f"failed: {error}"
                continue
            if reference is None:
                reference, results[label] = output, "runs (the reference for the others)"
                continue
            db = snr_db(reference, output)
            verdict = "right" if db >= FLOOR_DB[precision] else "WRONG"
            results[label] = "; ".join([f"{verdict}: {db:.1f} dB", *warnings])
    return results


def _test_layers() -> dict[str, str]:
    """Compare single layers in bf16 with fp32; later runs read the verdicts from the cache."""
    if not is_installed("openvino"):
        return {}
    from sdrt.backends.openvino.backend import OpenVinoBackend
    from sdrt.backends.openvino.bf16_selftest import remember

    backend = OpenVinoBackend()
    if not backend.has_bf16:
        return {}
    verdict = remember(backend.setup, backend.examine())
    return {f"openvino bf16, {name}": verdict.describe(name) for name in verdict.figures}


def _run(artifact: Artifact, name: str, precision: Precision) -> tuple[Array, tuple[str, ...]]:
    backend = open_backend(name, precision=precision)
    unet = backend.open(artifact.network("unet", backend.formats))
    return unet.run(seeded_feeds(artifact, "unet"))["out_sample"], unet.warnings
