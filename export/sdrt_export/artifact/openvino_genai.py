"""A model folder for OpenVINO GenAI, which differs from all others in two ways.

GenAI gives U-Nets the timestep as a row of one integer, whatever they declare; and its tokenizers
are OpenVINO graphs. The folder has no manifest, which would not be true of that U-Net: sdrt opens
it as a folder of another tool.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openvino as ov
from openvino import opset13

from sdrt.artifact import Artifact
from sdrt.errors import ArtifactError, SdrtError, UnsupportedError
from sdrt_export.artifact.staging import staged
from sdrt_export.graphs.to_openvino import save_ir

CONVERTER = "convert_tokenizer"
FILES = ("model_index.json", "scheduler/scheduler_config.json")
SHOWN = 300  # characters of the converter's message


def export_for_genai(artifact: Artifact, destination: Path, converter: Path | None = None) -> Path:
    """Publish a copy that GenAI opens; unchanged files are hard links to the artifact's.

    `converter` is the command of openvino_tokenizers, by default the installed one. Raises
    `ArtifactError` for a model without OpenVINO IR, `UnsupportedError` without the command, and
    what `staged` raises; then nothing is written.
    """
    command = converter or _converter()
    if artifact.is_foreign:
        raise UnsupportedError(f"{artifact.root} was exported by another tool; expected our export")
    size = sum(file.stat().st_size for file in artifact.network("unet", ("openvino",)).files)
    with staged(destination, int(size * 1.1)) as stage:
        for file in _files(artifact):
            _link(artifact.check(file), stage.folder / file)
        _write_unet(artifact, stage.folder / "unet")
        for encoder in artifact.manifest.text_encoders:
            _convert(stage.folder / encoder.tokenizer, command)
        stage.put()
        return stage.destination


def take_whole_timesteps(model: ov.Model) -> None:
    """Let a U-Net take its timestep as a row of integers, of which it reads the first."""
    (old,) = (p for p in model.get_parameters() if "timestep" in p.output(0).get_names())
    new = opset13.parameter([-1], ov.Type.i64, "timestep")
    first = opset13.constant(0, ov.Type.i64)
    number = opset13.gather(opset13.convert(new, "f32"), first, first)
    old.output(0).replace(number.output(0))
    new.output(0).set_names({"timestep"})
    model.remove_parameter(old)
    model.add_parameters([new])
    model.validate_nodes_and_infer_types()


def _files(artifact: Artifact) -> Iterator[str]:
    """All files but the U-Net's graph and those that are not OpenVINO's."""
    manifest = artifact.manifest
    yield from FILES
    for name, graph in manifest.graphs.items():
        if "openvino" not in graph.files:
            raise ArtifactError(
                f"{artifact.root} has no {name} as OpenVINO IR, which GenAI reads; export the "
                "model again with --format openvino"
            )
        yield f"{name}/config.json"
        if name != "unet":
            yield from graph.files["openvino"]
    folders = tuple(f"{encoder.tokenizer}/" for encoder in manifest.text_encoders)
    yield from (file for file in manifest.files if file.startswith(folders))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copyfile(source, target)


def _write_unet(artifact: Artifact, folder: Path) -> None:
    graph = artifact.network("unet", ("openvino",)).files[0]
    try:
        model = ov.Core().read_model(graph)
        take_whole_timesteps(model)
        save_ir(model, folder)
    except RuntimeError as error:
        raise SdrtError(f"OpenVINO cannot convert {graph}: {error}") from error


def _converter() -> Path:
    """The command in this environment, or else the first on the path."""
    local = Path(sys.executable).with_name(CONVERTER)
    command = str(local) if local.exists() else shutil.which(CONVERTER)
    if command is None:
        raise UnsupportedError(
            f"there is no command {CONVERTER}, which makes GenAI's tokenizers; install it with: "
            f"pip install openvino-tokenizers=={_release()}.* transformers"
        )
    return Path(command)


def _release() -> str:
    """The release of OpenVINO, which must be that of the tokenizers package too."""
    return ".".join(ov.get_version().split("-")[0].split(".")[:3])


def _convert(folder: Path, converter: Path) -> None:
    done = subprocess.run(
        [str(converter), str(folder), "--output", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        words = " ".join(done.stderr.split())[-SHOWN:]
        raise SdrtError(f"{converter} cannot convert {folder}: {words}")
