"""What a picture or a model folder holds, for people and as a record."""

from pathlib import Path
from typing import Any

from sdrt.artifact.artifact import open_artifact
from sdrt.images.metadata import CHUNK, read_png
from sdrt.manifest import Manifest, Quantization, guidance_width

SHOWN_LAYERS = 3

Description = tuple[dict[str, Any], str]


def describe_picture(path: Path) -> Description:
    """The parameters inside a PNG; raises `UsageError` for a file that is none."""
    found = read_png(path)
    lines = [f"{path}: {found['width']}x{found['height']} pixels"]
    if CHUNK in found and isinstance(found[CHUNK], dict):
        for name, value in found[CHUNK].items():
            lines += _listed(name, value) if name != "schema" else []
    elif "parameters" in found:
        lines += [f"  {line}" for line in found["parameters"].splitlines()]
    else:
        lines.append("  no parameters inside")
    return found, "\n".join(lines)


def _listed(name: str, value: Any) -> list[str]:
    """One line, or of things by their names one for each; a picture may hold anything."""
    if not isinstance(value, dict) or not any(isinstance(part, dict) for part in value.values()):
        return [f"  {name}: {value}"]
    return [f"  {name}:", *(f"    {key}: {_inline(part)}" for key, part in value.items())]


def _inline(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{key} {part}" for key, part in value.items())


def describe_model(where: str | None) -> Description:
    """What an artifact's manifest says."""
    artifact = open_artifact(where)
    manifest = artifact.manifest
    defaults, schedule = manifest.defaults, manifest.schedule
    size = sum(record.size for record in manifest.files.values())
    reference = "the float model" if manifest.precision == "int8" else "torch fp32"
    unsure = "; the files came without hashes, so nothing shows whether they are as they were"
    lines = [
        f"{artifact.root}{', exported by another tool' if artifact.is_foreign else ''}",
        f"  model: {manifest.name} ({manifest.family}), from {manifest.source.id}",
        *(f"  with the LoRA {one.file}, weight {one.weight:g}" for one in manifest.source.loras),
        f"  stored precision: {manifest.precision}",
        f"  size: {size / 1e6:.1f} MB in {len(manifest.files)} files"
        f"{unsure if artifact.is_foreign else ''}",
        f"  hash: {artifact.hash[:12]}",
        f"  prediction: {manifest.prediction}; schedule: {schedule.curve}, "
        f"{schedule.beta_start} to {schedule.beta_end}, {schedule.train_steps} steps, "
        f"spacing {schedule.spacing}{', zero terminal SNR' if schedule.zero_terminal_snr else ''}",
        f"  makes: {_modes(manifest)}",
        f"  defaults: {defaults.width}x{defaults.height}, {defaults.num_inference_steps} steps, "
        f"{defaults.sampler}, guidance {defaults.guidance_scale:g}"
        + (" (inside of the U-Net)" if guidance_width(manifest.graphs.get("unet")) else ""),
        f"  graphs (signal to noise against {reference}):",
    ]
    for name, graph in manifest.graphs.items():
        parity = ", ".join(f"{backend} {db:.1f} dB" for backend, db in graph.parity_db.items())
        what = f"{' and '.join(graph.files)}; {parity or 'not measured'}"
        lines.append(f"    {name}: {what}; stored in {manifest.stored(name)}")
        if graph.quantization:
            lines.append(f"      {_describe_quantization(graph.quantization)}")
    made = ", ".join(f"{name} {version}" for name, version in manifest.made_with.items())
    lines.append(f"  made with: {made or 'unknown'}")
    record = manifest.model_dump(mode="json", by_alias=True)
    for name, graph_record in record["graphs"].items():
        graph_record["precision"] = manifest.stored(name)
    found = {"path": str(artifact.root), "hash": artifact.hash}
    foreign = {"foreign": True} if artifact.is_foreign else {}
    return {**found, **foreign, **record}, "\n".join(lines)


def _modes(manifest: Manifest) -> str:
    """What pictures are made from, beside a prompt."""
    if manifest.edits:
        return "pictures from a picture, changed as the prompt says (edit)"
    if manifest.takes_mask:
        return "pictures from a picture and a mask (inpainting model)"
    has_encoder = "vae_encoder" in manifest.graphs
    return "pictures from noise" + ", a picture, or a picture and a mask" * has_encoder


def _describe_quantization(found: Quantization) -> str:
    """How much runs in int8, and the layers that rounding alone would hurt most."""
    count = len(found.sqnr_db)
    worst = sorted(found.kept, key=lambda name: found.sqnr_db[name])[:SHOWN_LAYERS]
    kept = ", ".join(f"{name} ({found.sqnr_db[name]:.1f} dB)" for name in worst)
    more = f" and {len(found.kept) - len(worst)} more" if len(found.kept) > len(worst) else ""
    return (
        f"{count - len(found.kept)} of {count} layers in int8, {found.share:.1%} of their work"
        + (f"; in float: {kept}{more}" if kept else "")
    )
