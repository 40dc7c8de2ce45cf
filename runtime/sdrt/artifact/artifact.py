"""Find, open and check an artifact: the folder that export writes."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Generic, Protocol, TypeVar

from sdrt.artifact.detect import describe
from sdrt.artifact.peer_folder import GraphCasts, is_peer_folder, read_peer_folder
from sdrt.backends.graph import Network
from sdrt.errors import ArtifactError
from sdrt.files.checksums import check_file, recorded
from sdrt.files.manifest_file import read_manifest
from sdrt.files.tuned_speed import TunedSpeed, read_tuned_speed
from sdrt.machine import processor
from sdrt.manifest import MANIFEST_NAME, FileRecord, Format, GraphSpec, Manifest, Storage

EMBEDDED = {"demo": Path(__file__).parents[1] / "demo"}


class Described(Protocol):
    """A manifest, as far as it describes graphs and files."""

    @property
    def graphs(self) -> Mapping[str, GraphSpec]:
        """Its graphs by name."""
        ...

    @property
    def files(self) -> Mapping[str, FileRecord]:
        """Every file below the folder."""
        ...

    @property
    def downscale(self) -> int:
        """How many pixels there are for each latent, along a side."""
        ...

    def stored(self, graph: str) -> Storage:
        """How a graph's weights are stored."""
        ...

    def to_json(self) -> str:
        """The text of the manifest."""
        ...


Description = TypeVar("Description", bound=Described)


@dataclass(frozen=True)
class GraphFolder(Generic[Description]):
    """A folder of graphs with its manifest."""

    root: Path
    manifest: Description
    input_casts: GraphCasts | None = None
    """For a folder that another tool exported, whose manifest was derived: the inputs that its
    graphs declare otherwise than the manifest. None for a folder that `sdrt export` wrote."""

    @property
    def is_foreign(self) -> bool:
        """Whether another tool exported it, without hashes of its files."""
        return self.input_casts is not None

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the manifest's content, and thereby of every file that it lists."""
        return hashlib.sha256(self.manifest.to_json().encode()).hexdigest()

    def network(self, name: str, formats: Sequence[Format]) -> Network:
        """A graph's files in the first of these formats that the folder has, each one checked.

        Raises `ArtifactError` for an unknown graph, a missing format or a corrupt file.
        """
        graphs = self.manifest.graphs
        if name not in graphs:
            raise ArtifactError(f"{self.root} has no graph {name!r}; it has: {', '.join(graphs)}")
        spec = graphs[name]
        chosen = next((f for f in formats if f in spec.files), None)
        if chosen is None:
            raise ArtifactError(
                f"{self.root} holds {name} as {', '.join(spec.files)}, expected "
                f"{' or '.join(formats)}; export the model again with --format {formats[0]}"
            )
        files = tuple(self.check(file) for file in spec.files[chosen])
        input_casts = (self.input_casts or {}).get((name, chosen), {})
        return Network(name, spec, files, self.manifest.stored(name), input_casts=input_casts)

    def check(self, file: str, remember: bool = True) -> Path:
        """Compare one file with its record in the manifest and return its path."""
        if file not in self.manifest.files:
            raise ArtifactError(
                f"{self.root / MANIFEST_NAME} does not list {file}; export the model again"
            )
        path = self.root / file
        check_file(path, self.manifest.files[file], remember)
        return path


@dataclass(frozen=True)
class Artifact(GraphFolder[Manifest]):
    """A model folder with its manifest."""

    manifest: Manifest

    def tuned_speed(self) -> TunedSpeed:
        """The presets of speed that were found for this model, as its folder has them now.

        Raises `ArtifactError` for a damaged file.
        """
        return read_tuned_speed(self.root, self.hash, processor())


def open_artifact(where: str | Path | None = None) -> Artifact:
    """Open a model folder, or an embedded model by its name; by default the embedded `demo`.

    Reads and checks the manifest only; graphs are checked when they are opened. A folder that
    another tool exported is opened too (`sdrt.artifact.peer_folder`). Raises `ArtifactError`, which
    names what is there in place of a model, and whatever `read_peer_folder` raises.
    """
    # By default a folder that happens to be called demo is not meant.
    root = EMBEDDED["demo"] if where is None else _locate(where)
    if not (root / MANIFEST_NAME).exists():
        return _adopted(root)
    manifest = read_manifest(root / MANIFEST_NAME)
    folders = [encoder.tokenizer for encoder in manifest.text_encoders]
    check_paths(root, [*manifest.files, *folders], manifest.graphs.values())
    return Artifact(root, manifest)


def _adopted(root: Path) -> Artifact:
    """A folder of another tool; the files as they are now are taken for what they should be."""
    folder = read_peer_folder(root)
    folders = [encoder.tokenizer for encoder in folder.manifest.text_encoders]
    check_paths(root, [*folder.files, *folders], folder.manifest.graphs.values())
    records = {file: recorded(root / file) for file in folder.files}
    return Artifact(root, folder.manifest.model_copy(update={"files": records}), folder.input_casts)


def is_artifact(where: str | Path) -> bool:
    """Whether `sdrt export` wrote it, or an embedded model has that name."""
    path = Path(where)
    return (path / MANIFEST_NAME).is_file() or (not path.exists() and str(where) in EMBEDDED)


def _locate(where: str | Path) -> Path:
    path = Path(where)
    if (path / MANIFEST_NAME).is_file() or is_peer_folder(path):
        return path
    if not path.exists() and str(where) in EMBEDDED:
        return EMBEDDED[str(where)]
    if path.exists():
        raise ArtifactError(
            f"{where} is {describe(path)}; expected a folder made by: sdrt export, or by: "
            "optimum-cli export onnx, or: optimum-cli export openvino"
        )
    raise ArtifactError(
        f"there is no folder {where}, and no embedded model of that name (embedded: "
        f"{', '.join(EMBEDDED)}); make a model folder with: sdrt export"
    )


def check_paths(root: Path, names: Iterable[str], graphs: Iterable[GraphSpec]) -> None:
    """Refuse paths that lead out of the folder: a manifest may come from anywhere."""
    of_graphs = [f for graph in graphs for files in graph.files.values() for f in files]
    for name in [*names, *of_graphs]:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise ArtifactError(f"{root} names a path outside its folder: {name!r}")
        if not (root / path).resolve().is_relative_to(root.resolve()):
            raise ArtifactError(f"{root / name} is a link that leads out of the model folder")
