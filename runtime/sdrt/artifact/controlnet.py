"""ControlNets: folders that `sdrt export` writes beside models, each with one graph."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from sdrt.artifact.artifact import GraphFolder, check_paths
from sdrt.artifact.detect import describe
from sdrt.backends.residuals import residual_names
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.manifest_file import read_manifest_json
from sdrt.files.text_file import read_json
from sdrt.manifest import (
    MANIFEST_NAME,
    SCHEMA,
    Family,
    FileRecord,
    GraphSpec,
    Manifest,
    Model,
    Positive,
    Precision,
    Source,
    explain_validation_error,
)

CONTROLNET = "controlnet"
"""The kind of the folder, and the name of its graph."""
HINT = "controlnet_cond"
"""Input of the graph: the hint, (batch, 3, height, width) in 0..1."""


class ControlNetManifest(Model):
    """Everything that the runtime needs to know about a ControlNet besides its weights."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    kind: Literal["controlnet"] = "controlnet"
    name: str
    family: Family
    source: Source
    precision: Precision
    downscale: Positive = 8
    """How many pixels of the hint there are for each latent, along a side."""
    levels: tuple[Annotated[int, Field(ge=0, le=16)], ...]
    """How often the latents' sides are halved in each output of the graph."""
    is_pooled: bool = False
    """Whether outputs are means over the picture, which guide the prompt's own branch alone."""
    graphs: dict[str, GraphSpec]
    files: dict[str, FileRecord] = {}
    made_with: dict[str, str] = {}
    """Versions of the packages that made the folder."""

    def stored(self, graph: str) -> Precision:
        """How the graph's weights are stored."""
        return self.precision

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @property
    def graph(self) -> GraphSpec:
        """Its one graph."""
        return self.graphs[CONTROLNET]

    @property
    def residuals(self) -> tuple[str, ...]:
        """Names of its outputs: one for each skip connection of a U-Net, and for the middle."""
        return tuple(output.name for output in self.graph.outputs)

    @property
    def channels(self) -> tuple[int, ...]:
        """How many channels each output has."""
        return tuple(int(output.shape[1]) for output in self.graph.outputs)

    def shapes(self, rows: int, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs for so many rows of latents of this size."""
        sizes = [(-(-height // 2**level), -(-width // 2**level)) for level in self.levels]
        parts = zip(self.residuals, self.channels, sizes, strict=True)
        return {name: (rows, channels, *size) for name, channels, size in parts}


@dataclass(frozen=True)
class ControlNetFolder(GraphFolder[ControlNetManifest]):
    """A ControlNet's folder with its manifest."""

    manifest: ControlNetManifest

    def check_fits(self, model: Manifest, unet_channels: object = None) -> None:
        """Raise `UnsupportedError` for a model of another family, or with another U-Net.

        `unet_channels` are the U-Net's channels by level, where its configuration has them.
        """
        widths = {tensor.name: tensor.shape[-1:] for tensor in self.manifest.graph.inputs}
        (width,) = widths.get("encoder_hidden_states") or (None,)
        reason = None
        if self.manifest.family != model.family:
            reason = f"for {self.manifest.family}, and {model.name!r} is {model.family}"
        elif isinstance(model.text_width, int) and width != model.text_width:
            reason = (
                f"for embeddings of width {width}, and those of {model.name!r} have "
                f"{model.text_width}"
            )
        elif self.manifest.downscale != model.latent.downscale:
            reason = f"for another size of latents than that of {model.name!r}"
        elif isinstance(unet_channels, list) and set(self.manifest.channels) != set(unet_channels):
            reason = (
                f"for a U-Net of {_listed(sorted(set(self.manifest.channels)))} channels, and that "
                f"of {model.name!r} has {_listed(unet_channels)}"
            )
        if reason:
            raise UnsupportedError(
                f"the ControlNet {self.root} is {reason}; expected one that was trained for this "
                "model's family"
            )


def open_controlnet(where: str | Path) -> ControlNetFolder:
    """Open a ControlNet's folder; its graph is checked when it is opened.

    Raises `ArtifactError`, which names what is there in place of a ControlNet.
    """
    root = Path(where)
    if not (root / MANIFEST_NAME).is_file():
        found = describe(root) if root.exists() else "not there"
        raise ArtifactError(
            f"the ControlNet {where} is {found}; expected a folder made of a ControlNet by: sdrt "
            "export"
        )
    path = root / MANIFEST_NAME
    text, record = read_manifest_json(path)
    if record.get("kind") != CONTROLNET:
        raise ArtifactError(
            f"{where} is a model, not a ControlNet; give it with --model, and with --control a "
            "folder made of a ControlNet by: sdrt export"
        )
    try:
        manifest = ControlNetManifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: {explain_validation_error(error)}; export the ControlNet again"
        ) from error
    _check_graph(path, manifest)
    check_paths(root, manifest.files, manifest.graphs.values())
    return ControlNetFolder(root, manifest)


def is_controlnet(where: str | Path) -> bool:
    """Whether a folder's manifest says that it is a ControlNet's."""
    record = read_json(Path(where) / MANIFEST_NAME)
    return isinstance(record, dict) and record.get("kind") == CONTROLNET


def _check_graph(path: Path, manifest: ControlNetManifest) -> None:
    """Refuse a manifest whose graph is not a ControlNet's."""
    graph = manifest.graphs.get(CONTROLNET)
    if graph is None or len(manifest.graphs) != 1:
        raise ArtifactError(f"{path} lists {', '.join(manifest.graphs)}; expected {CONTROLNET}")
    shapes = {output.name: output.shape for output in graph.outputs}
    is_whole = tuple(shapes) == residual_names(len(shapes)) and len(shapes) == len(manifest.levels)
    if not is_whole or not all(
        len(shape) == 4 and isinstance(shape[1], int) for shape in shapes.values()
    ):
        raise ArtifactError(
            f"{path} has outputs that are not those of a ControlNet ({', '.join(shapes)}); export "
            "the ControlNet again"
        )
    if HINT not in {tensor.name for tensor in graph.inputs}:
        raise ArtifactError(f"{path} has no input {HINT}; export the ControlNet again")


def _listed(numbers: object) -> str:
    return str(numbers).strip("[]")
