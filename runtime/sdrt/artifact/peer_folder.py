"""Model folders that other tools exported: described in memory as if `sdrt export` had made them.

Those are folders in diffusers' layout whose networks are ONNX files or OpenVINO IR, as
`optimum-cli export onnx` and `optimum-cli export openvino` write them; OpenVINO GenAI reads the
latter too. They come without a manifest: its facts are read from their configurations and from the
graphs themselves, and where those do not suffice the folder is refused. They also come without
hashes, so nothing shows whether a file is the one that was exported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from sdrt.artifact.detect import GRAPH_FILES
from sdrt.artifact.diffusers_config import (
    COMPONENTS,
    PIPELINES,
    TOKENIZERS,
    XL_PIPELINES,
    Config,
    read_defaults,
    read_family,
    read_latent,
    read_prediction,
    read_zeros_for_empty_prompt,
    text_layer,
)
from sdrt.artifact.peer_inputs import INPUTS, OUTPUTS, canonical, differing
from sdrt.backends.input_casts import InputCasts
from sdrt.backends.signature import Signature
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.text_file import read_json
from sdrt.manifest import (
    FORMATS,
    HIDDEN_STATES,
    Family,
    Format,
    GraphSpec,
    Manifest,
    Source,
    Storage,
    TensorSpec,
    TextEncoder,
    explain_validation_error,
)
from sdrt.sampling.scheduler_config import read_schedule

GraphCasts = Mapping[tuple[str, Format], InputCasts]

PREFIXES = ("OV", "ORT", "Onnx")
"""What exporters put before the name of diffusers' pipeline."""
CHECKPOINTS_ONLY = (
    "StableDiffusionInstructPix2PixPipeline",
    "StableDiffusionDepth2ImgPipeline",
    "LatentConsistencyModelImg2ImgPipeline",
)
"""Pipelines that sdrt exports from a checkpoint, and whose exports by other tools it refuses: no
such folder was ever compared with diffusers."""
CLASSES = {"unet": "unet", "vae_decoder": "vae"}
"""Networks whose configuration names its class, and the component whose class it must be."""
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
OPTIONAL = "vae_encoder"


@dataclass(frozen=True)
class PeerFolder:
    """What a folder of another tool holds."""

    manifest: Manifest
    """The manifest as it can be derived, without sizes and hashes of files."""
    files: Sequence[str]
    """The files that belong to the model."""
    input_casts: GraphCasts
    """By graph and format, the inputs that the file declares otherwise than the manifest."""


def is_peer_folder(root: Path) -> bool:
    """Whether the folder has a `model_index.json` and exported networks."""
    if not isinstance(read_json(root / "model_index.json"), dict):
        return False
    return any(any(root.glob(f"*/{file}")) for file in GRAPH_FILES.values())


def read_peer_folder(root: Path) -> PeerFolder:
    """Describe a folder; loads no weights.

    Raises `UnsupportedError` for models that sdrt does not run, `ArtifactError` for what is missing
    or cannot be read, `MissingExtraError` for OpenVINO IR without OpenVINO.
    """
    try:
        return _Reading(root, read_json(root / "model_index.json")).folder()
    except ValidationError as error:
        raise ArtifactError(f"{root}: {explain_validation_error(error)}") from error


@dataclass
class _Reading:
    """The state of reading one folder."""

    root: Path
    index: Config
    files: dict[str, None] = field(default_factory=dict)
    """The files that were read, and those that a run will read, in the order of their names' first
    appearance; a dictionary because it is an ordered set."""
    input_casts: dict[tuple[str, Format], InputCasts] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)

    def folder(self) -> PeerFolder:
        """Read everything; the steps depend on each other, and the first that fails raises."""
        self._check_pipeline()
        self.files["model_index.json"] = None
        networks = self._networks()
        configs = {name: self._config(name) for name in networks}
        scheduler = self._json("scheduler/scheduler_config.json")
        family = read_family(configs)
        latent = read_latent(self.root / "vae_decoder", configs["vae_decoder"])
        read = {name: self._graph(name) for name in networks}
        graphs = {name: graph for name, graph in read.items() if graph}
        if family == "sdxl":
            self._check_layers(graphs, configs)
        encoders = tuple(
            self._encoder(name, configs, family) for name in TOKENIZERS if name in graphs
        )
        name = self.root.resolve().name
        manifest = Manifest(
            name=name,
            family=family,
            source=Source(id=self._source(name)),
            precision=_stored(graphs["unet"]),
            prediction=read_prediction(self.root, scheduler),
            schedule=read_schedule(scheduler),
            latent=latent,
            text_encoders=encoders,
            graphs=graphs,
            defaults=read_defaults(scheduler, configs["unet"], latent, family),
            made_with=self.made_with,
            zeros_for_empty_prompt=read_zeros_for_empty_prompt(self.index, configs),
        )
        return PeerFolder(manifest, tuple(sorted(self.files)), self.input_casts)

    def _check_pipeline(self) -> None:
        named = str(self.index.get("_class_name", "an unnamed pipeline"))
        pipeline = next((named[len(p) :] for p in PREFIXES if named.startswith(p)), named)
        if pipeline not in (*PIPELINES, *XL_PIPELINES) or pipeline in CHECKPOINTS_ONLY:
            raise UnsupportedError(
                f"{self.root} is a {named}; sdrt runs Stable Diffusion 1, 2 and XL "
                f"({PIPELINES[0]}, {XL_PIPELINES[0]})"
            )

    def _networks(self) -> list[str]:
        """Names of the networks in the folder; raises for those that the index lists in vain."""
        listed = [name for name in TOKENIZERS if _is_listed(self.index, name)]
        wanted = [*listed, "unet", "vae_decoder"]
        for name in wanted:
            if not self._formats(name):
                expected = " or ".join(f"{name}/{file}" for file in GRAPH_FILES.values())
                raise ArtifactError(
                    f"{self.root} has no {expected}; the export is incomplete: export it again"
                )
        if not listed:
            raise ArtifactError(
                f"{self.root}/model_index.json lists no text_encoder; the export is incomplete"
            )
        return [*wanted, *([OPTIONAL] if self._formats(OPTIONAL) else [])]

    def _formats(self, name: str) -> list[Format]:
        return [f for f in FORMATS if (self.root / name / GRAPH_FILES[f]).is_file()]

    def _config(self, name: str) -> Config:
        """A network's configuration; raises `UnsupportedError` for one of another class."""
        config = self._json(f"{name}/config.json")
        if name in CLASSES and "_class_name" in config:
            named, (_, known) = config["_class_name"], COMPONENTS[CLASSES[name]]
            if named is not None and named not in known:
                raise UnsupportedError(f"{self.root / name} is a {named}; expected {known[0]}")
        return config

    def _json(self, file: str) -> Config:
        content = read_json(self.root / file)
        if not isinstance(content, dict):
            raise ArtifactError(
                f"{self.root / file} is missing or not valid JSON; the export is incomplete: "
                "export it again"
            )
        self.files[file] = None
        return content

    def _check_layers(self, graphs: Mapping[str, GraphSpec], configs: Mapping[str, Config]) -> None:
        """Raise `UnsupportedError` for text encoders without all hidden states.

        XL is conditioned on the penultimate layer.
        """
        for name in TOKENIZERS:
            if name not in graphs:
                continue
            states = sum(output.name.startswith(HIDDEN_STATES) for output in graphs[name].outputs)
            layers = configs[name].get("num_hidden_layers")
            if not isinstance(layers, int) or states != layers + 1:
                raise UnsupportedError(
                    f"{self.root / name} gives {states} hidden states, and Stable Diffusion XL "
                    f"takes one of {layers} layers; export it again with the task text-to-image"
                )

    def _graph(self, name: str) -> GraphSpec | None:
        """A network's files, inputs and outputs; None for a VAE encoder that samples by itself."""
        read = {
            format: read_signature(format, self.root / name / GRAPH_FILES[format])
            for format in self._formats(name)
        }
        first = next(iter(read.values()))
        outputs = {output.name for output in first.outputs}
        missing = [output for output in OUTPUTS[name] if output not in outputs]
        if missing and name == OPTIONAL:
            return None  # older releases draw the latents inside the graph, anew in each run
        if missing:
            raise UnsupportedError(
                f"{self.root / name} gives {', '.join(sorted(outputs))}; expected {missing[0]} "
                "among them"
            )
        specs = [self._inputs(name, format, signature) for format, signature in read.items()]
        if any(spec != specs[0] for spec in specs):
            raise ArtifactError(
                f"{self.root / name} has a {' and a '.join(map(str, read))} graph with different "
                "inputs; export one of them again"
            )
        files: dict[Format, tuple[str, ...]] = {}
        for format, signature in read.items():
            listed = (GRAPH_FILES[format], *signature.weight_files)
            files[format] = tuple(f"{name}/{file}" for file in listed)
            self.files |= dict.fromkeys(files[format])
            self.made_with |= signature.made_with
        return GraphSpec(
            files=files,
            inputs=specs[0],
            outputs=first.outputs,
            precision=self._storage(name, first),
        )

    def _storage(self, name: str, signature: Signature) -> Storage:
        try:
            return signature.stored
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.root / name}: {error}") from error

    def _inputs(self, name: str, format: Format, signature: Signature) -> tuple[TensorSpec, ...]:
        """The inputs as sdrt gives them; casts to what this file declares are kept."""
        where = self.root / name / GRAPH_FILES[format]
        specs = tuple(canonical(where, name, tensor) for tensor in signature.inputs)
        declared = {spec.name for spec in specs}
        needed = [tensor for tensor, kind in INPUTS[name].items() if kind.is_needed]
        missing = [tensor for tensor in needed if tensor not in declared]
        if missing:
            shown = ", ".join(tensor.name for tensor in signature.inputs) or "nothing"
            raise UnsupportedError(f"{where} takes {shown}; expected {missing[0]} among them")
        self.input_casts[name, format] = differing(specs, signature.inputs)
        return specs

    def _encoder(self, name: str, configs: Mapping[str, Config], family: Family) -> TextEncoder:
        folder = TOKENIZERS[name]
        files = next((files for files in TOKENIZER_FILES if self._has(folder, files)), None)
        if files is None:
            raise ArtifactError(
                f"{self.root / folder} has neither tokenizer.json nor vocab.json with merges.txt"
                f"{self._converted(folder)}; copy {folder}/ from the model that was exported"
            )
        for file in (*files, "tokenizer_config.json"):
            self.files[f"{folder}/{file}"] = None
        return TextEncoder(
            graph=name,
            tokenizer=folder,
            length=configs[name].get("max_position_embeddings", 77),
            layer=text_layer(family),
        )

    def _has(self, folder: str, files: tuple[str, ...]) -> bool:
        return all((self.root / folder / file).is_file() for file in files)

    def _converted(self, folder: str) -> str:
        has = self._has(folder, ("openvino_tokenizer.xml",))
        return ", and sdrt does not read openvino_tokenizer.xml" if has else ""

    def _source(self, name: str) -> str:
        """The model's id on the hub, if the exporter recorded one and not a folder."""
        recorded = self.index.get("_name_or_path")
        is_id = isinstance(recorded, str) and recorded and not Path(recorded).is_absolute()
        return str(recorded) if is_id else name


def _is_listed(index: Config, name: str) -> bool:
    component = index.get(name)
    return isinstance(component, list) and component[:1] != [None]


def _stored(graph: GraphSpec) -> Storage:
    assert graph.precision
    return graph.precision


def read_signature(format: Format, path: Path) -> Signature:
    """Read a graph's inputs and outputs; raises `ArtifactError` for a file that is no graph.

    Raises `MissingExtraError` where reading takes an engine that is not installed.
    """
    if format == "onnx":
        from sdrt.backends.onnxruntime.signature import read_onnx_signature

        return read_onnx_signature(path)
    from sdrt.backends.openvino.signature import read_openvino_signature

    return read_openvino_signature(path)
