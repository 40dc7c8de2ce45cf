"""Describes the parameters of a picture, and model folders: as text and as a record."""

from pathlib import Path
from typing import Any

from sdrt.artifact.artifact import open_artifact
from sdrt.artifact.controlnet import is_controlnet, open_controlnet
from sdrt.images.metadata import CHUNK, read_png
from sdrt.manifest import Manifest, Quantization, guidance_width
from sdrt.request.speed import SPEEDS, speed_preset

SHOWN_LAYERS = 3

Description = tuple[dict[str, Any], str]


def describe_picture(path: Path) -> Description:
    """The parameters inside a PNG; raises `UsageError` for any other file."""
    record = read_png(path)
    lines = [f"{path}: {record['width']}x{record['height']} pixels"]
    if CHUNK in record and isinstance(record[CHUNK], dict):
        for name, value in record[CHUNK].items():
            lines += _listed(name, value) if name != "schema" else []
    elif "parameters" in record:
        lines += [f"  {line}" for line in record["parameters"].splitlines()]
    else:
        lines.append("  no parameters inside")
    return record, "\n".join(lines)


def _listed(name: str, value: Any) -> list[str]:
    """One line, or for a nested object one for each entry; a PNG may hold any JSON value."""
    if not isinstance(value, dict) or not any(isinstance(entry, dict) for entry in value.values()):
        return [f"  {name}: {value}"]
    return [f"  {name}:", *(f"    {key}: {_inline(entry)}" for key, entry in value.items())]


def _inline(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{key} {entry}" for key, entry in value.items())


def describe_model(where: str | None) -> Description:
    """The contents of a model folder's manifest; `where` is as for `open_artifact`."""
    if where is not None and is_controlnet(where):
        return _describe_controlnet(where)
    artifact = open_artifact(where)
    manifest = artifact.manifest
    defaults, schedule = manifest.defaults, manifest.schedule
    size = sum(record.size for record in manifest.files.values())
    reference = "the float model" if manifest.precision == "int8" else "torch fp32"
    caution = "; the files came without hashes, so nothing shows whether they are as they were"
    tuned = artifact.tuned_speed()
    presets = {name: speed_preset(manifest, name, tuned) for name in SPEEDS if name != "exact"}
    lines = [
        f"{artifact.root}{', exported by another tool' if artifact.is_foreign else ''}",
        f"  model: {manifest.name} ({manifest.family}), from {manifest.source.id}",
        *(f"  with the LoRA {lora.file}, weight {lora.weight:g}" for lora in manifest.source.loras),
        f"  stored precision: {manifest.precision}",
        f"  size: {size / 1e6:.1f} MB in {len(manifest.files)} files"
        f"{caution if artifact.is_foreign else ''}",
        f"  hash: {artifact.hash[:12]}",
        f"  prediction: {manifest.prediction}; schedule: {schedule.curve}, "
        f"{schedule.beta_start} to {schedule.beta_end}, {schedule.train_steps} steps, "
        f"spacing {schedule.spacing}{', zero terminal SNR' if schedule.zero_terminal_snr else ''}",
        f"  makes: {_modes(manifest)}",
        f"  defaults: {defaults.width}x{defaults.height}, {defaults.num_inference_steps} steps, "
        f"{defaults.sampler}, guidance {defaults.guidance_scale:g}"
        + (" (inside of the U-Net)" if guidance_width(manifest.graphs.get("unet")) else ""),
        *(
            f"  speed {name}{' (tuned)' * (name in tuned.presets)}: {preset.summary()}"
            for name, preset in presets.items()
        ),
        f"  graphs (signal to noise against {reference}):",
    ]
    for name, graph in manifest.graphs.items():
        parity = ", ".join(f"{backend} {db:.1f} dB" for backend, db in graph.parity_db.items())
        formats = " and ".join(graph.files)
        stored = f"stored in {manifest.stored(name)}"
        lines.append(f"    {name}: {formats}; {parity or 'not measured'}; {stored}")
        if graph.quantization:
            lines.append(f"      {_describe_quantization(graph.quantization)}")
    made = ", ".join(f"{name} {version}" for name, version in manifest.made_with.items())
    lines.append(f"  made with: {made or 'unknown'}")
    record = manifest.model_dump(mode="json", by_alias=True)
    for name, graph_record in record["graphs"].items():
        graph_record["precision"] = manifest.stored(name)
    record["speed"] = {name: preset.options for name, preset in presets.items()}
    folder = {"path": str(artifact.root), "hash": artifact.hash}
    foreign = {"foreign": True} if artifact.is_foreign else {}
    return {**folder, **foreign, **record}, "\n".join(lines)


def _describe_controlnet(where: str) -> Description:
    folder = open_controlnet(where)
    manifest, graph = folder.manifest, folder.manifest.graph
    size = sum(record.size for record in manifest.files.values())
    parity = ", ".join(f"{backend} {db:.1f} dB" for backend, db in graph.parity_db.items())
    made = ", ".join(f"{name} {version}" for name, version in manifest.made_with.items())
    reference = "the float graph" if manifest.precision == "int8" else "torch fp32"
    pooled = "; its results are means over the picture" * manifest.is_pooled
    lines = [
        f"{folder.root}",
        f"  ControlNet: {manifest.name}, for models of {manifest.family}, from "
        f"{manifest.source.id}",
        f"  stored precision: {manifest.precision}",
        f"  size: {size / 1e6:.1f} MB in {len(manifest.files)} files",
        f"  hash: {folder.hash[:12]}",
        f"  adds to: {len(manifest.residuals) - 1} skip connections and the middle block{pooled}",
        f"  graph (signal to noise against {reference}): {' and '.join(graph.files)}; "
        f"{parity or 'not measured'}",
        f"  made with: {made or 'unknown'}",
        f"  use: sdrt generate PROMPT --control {where}=PICTURE",
    ]
    record = manifest.model_dump(mode="json", by_alias=True)
    return {"path": str(folder.root), "hash": folder.hash, **record}, "\n".join(lines)


def _modes(manifest: Manifest) -> str:
    """What the model makes pictures from besides a prompt."""
    if manifest.edits:
        return "pictures from a picture, changed as the prompt says (edit)"
    if manifest.takes_mask:
        return "pictures from a picture and a mask (inpainting model)"
    if manifest.takes_depth:
        return "pictures over a depth map, from noise or a picture (depth model)"
    has_encoder = "vae_encoder" in manifest.graphs
    return "pictures from noise" + ", a picture, or a picture and a mask" * has_encoder


def _describe_quantization(quantization: Quantization) -> str:
    """How many layers are in int8, and the ones in float that rounding would harm most."""
    count = len(quantization.sqnr_db)
    worst = sorted(quantization.kept, key=lambda name: quantization.sqnr_db[name])[:SHOWN_LAYERS]
    kept = ", ".join(f"{name} ({quantization.sqnr_db[name]:.1f} dB)" for name in worst)
    rest = len(quantization.kept) - len(worst)
    more = f" and {rest} more" if rest else ""
    return (
        f"{count - len(quantization.kept)} of {count} layers in int8, "
        f"{quantization.share:.1%} of their work" + (f"; in float: {kept}{more}" if kept else "")
    )
