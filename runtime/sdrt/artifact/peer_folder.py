"""Model folders that other tools exported: described in memory as if `sdrt export` had made them.

Those are folders in diffusers' layout whose networks are ONNX files or OpenVINO IR, as
`optimum-cli export onnx` and `optimum-cli export openvino` write them; OpenVINO GenAI reads the
latter too. They come without a manifest: what one would say is told from their configurations and
from the graphs themselves, or refused. They also come without hashes, so nothing shows whether a
file is the one that was exported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sdrt.artifact.peer_inputs import INPUTS, OUTPUTS, canonical, differing
from sdrt.backends.input_casts import InputCasts
from sdrt.backends.signature import Signature
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.files.json_file import read_json
from sdrt.manifest import (
    FORMATS,
    HIDDEN_STATES,
    Defaults,
    Family,
    Format,
    GraphSpec,
    Latent,
    Manifest,
    Prediction,
    Source,
    Storage,
    TensorSpec,
    TextEncoder,
    explain_validation_error,
)
from sdrt.sampling.scheduler_config import read_sampler_settings, read_schedule

Config = Mapping[str, Any]
Natives = Mapping[tuple[str, Format], InputCasts]

GRAPH_FILES: Mapping[Format, str] = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
PREFIXES = ("OV", "ORT", "Onnx")
KINDS = ("", "Img2Img", "Inpaint")
PIPELINES = tuple(f"StableDiffusion{kind}Pipeline" for kind in KINDS)
XL_PIPELINES = tuple(f"StableDiffusionXL{kind}Pipeline" for kind in KINDS)
LCM_PIPELINE = "LatentConsistencyModelPipeline"
TOKENIZERS = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
CLASSES = {"unet": "UNet2DConditionModel", "vae_decoder": "AutoencoderKL"}
TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))
GUIDANCE: Mapping[Family, float] = {"sd1": 7.5, "sd2": 7.5, "sdxl": 5.0}
"""What diffusers' pipelines guide with unless they are told."""
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v_prediction", "sample")
OPTIONAL = "vae_encoder"


@dataclass(frozen=True)
class PeerFolder:
    """What such a folder holds."""

    manifest: Manifest
    """Without the sizes and hashes of files."""
    files: Sequence[str]
    """Those that belong to it."""
    natives: Natives
    """By graph and format, inputs that its file takes otherwise than the manifest says."""


def is_peer_folder(root: Path) -> bool:
    """Whether there are exported networks beside a `model_index.json`."""
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
    """One folder while it is read."""

    root: Path
    index: Config
    files: dict[str, None] = field(default_factory=dict)
    """What was read, and what will be."""
    natives: dict[tuple[str, Format], InputCasts] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)

    def folder(self) -> PeerFolder:
        """All of it."""
        self._check_pipeline()
        self.files["model_index.json"] = None
        networks = self._networks()
        configs = {name: self._config(name) for name in networks}
        scheduler = self._json("scheduler/scheduler_config.json")
        family = _family(configs)
        latent = _latent(self.root, configs["vae_decoder"])
        found = {name: self._graph(name) for name in networks}
        graphs = {name: graph for name, graph in found.items() if graph}
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
            prediction=_prediction(self.root, scheduler),
            schedule=read_schedule(scheduler),
            latent=latent,
            text_encoders=encoders,
            graphs=graphs,
            defaults=_defaults(scheduler, configs["unet"], latent, family),
            made_with=self.made_with,
            zeros_for_empty_prompt=family == "sdxl"
            and "text_encoder" in graphs
            and bool(self.index.get("force_zeros_for_empty_prompt", True)),
        )
        return PeerFolder(manifest, tuple(sorted(self.files)), self.natives)

    def _check_pipeline(self) -> None:
        named = str(self.index.get("_class_name", "an unnamed pipeline"))
        found = next((named[len(p) :] for p in PREFIXES if named.startswith(p)), named)
        if found not in (*PIPELINES, *XL_PIPELINES, LCM_PIPELINE):
            raise UnsupportedError(
                f"{self.root} is a {named}; sdrt runs Stable Diffusion 1, 2 and XL "
                f"({PIPELINES[0]}, {XL_PIPELINES[0]})"
            )

    def _networks(self) -> list[str]:
        """Those that there are; whatever the index names besides is missing."""
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
        return [one for one in FORMATS if (self.root / name / GRAPH_FILES[one]).is_file()]

    def _config(self, name: str) -> Config:
        """A network's configuration; raises `UnsupportedError` for one of another class."""
        found = self._json(f"{name}/config.json")
        expected, named = CLASSES.get(name), found.get("_class_name")
        if expected and named not in (None, expected):
            raise UnsupportedError(f"{self.root / name} is a {named}; expected {expected}")
        return found

    def _json(self, file: str) -> Config:
        found = read_json(self.root / file)
        if not isinstance(found, dict):
            raise ArtifactError(
                f"{self.root / file} is missing or not valid JSON; the export is incomplete: "
                "export it again"
            )
        self.files[file] = None
        return found

    def _check_layers(self, graphs: Mapping[str, GraphSpec], configs: Mapping[str, Config]) -> None:
        """XL takes the last layer but one; raises `UnsupportedError` where it is not given."""
        for name in (one for one in TOKENIZERS if one in graphs):
            states = sum(one.name.startswith(HIDDEN_STATES) for one in graphs[name].outputs)
            layers = configs[name].get("num_hidden_layers")
            if not isinstance(layers, int) or states != layers + 1:
                raise UnsupportedError(
                    f"{self.root / name} gives {states} hidden states, and Stable Diffusion XL "
                    f"takes one of {layers} layers; export it again with the task text-to-image"
                )

    def _graph(self, name: str) -> GraphSpec | None:
        """A network's files, inputs and outputs; None for a picture's encoder of another kind."""
        read = {
            format: read_signature(format, self.root / name / GRAPH_FILES[format])
            for format in self._formats(name)
        }
        first = next(iter(read.values()))
        outputs = {output.name for output in first.outputs}
        missing = [one for one in OUTPUTS[name] if one not in outputs]
        if missing and name == OPTIONAL:
            return None  # older releases draw the latents inside of it, each time others
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
        """As sdrt gives them; how this file takes them is kept."""
        where = self.root / name / GRAPH_FILES[format]
        specs = tuple(canonical(where, name, tensor) for tensor in signature.inputs)
        missing = [one for one, kind in INPUTS[name].items() if kind.is_needed]
        missing = [one for one in missing if one not in {spec.name for spec in specs}]
        if missing:
            found = ", ".join(tensor.name for tensor in signature.inputs) or "nothing"
            raise UnsupportedError(f"{where} takes {found}; expected {missing[0]} among them")
        self.natives[name, format] = differing(specs, signature.inputs)
        return specs

    def _encoder(self, name: str, configs: Mapping[str, Config], family: Family) -> TextEncoder:
        folder = TOKENIZERS[name]
        found = next((files for files in TOKENIZER_FILES if self._has(folder, files)), None)
        if found is None:
            raise ArtifactError(
                f"{self.root / folder} has neither tokenizer.json nor vocab.json with merges.txt"
                f"{self._converted(folder)}; copy {folder}/ from the model that was exported"
            )
        for file in (*found, "tokenizer_config.json"):
            self.files[f"{folder}/{file}"] = None
        return TextEncoder(
            graph=name,
            tokenizer=folder,
            length=configs[name].get("max_position_embeddings", 77),
            layer="last" if family == "sd1" else "penultimate",
        )

    def _has(self, folder: str, files: tuple[str, ...]) -> bool:
        return all((self.root / folder / file).is_file() for file in files)

    def _converted(self, folder: str) -> str:
        has = self._has(folder, ("openvino_tokenizer.xml",))
        return ", and sdrt does not read openvino_tokenizer.xml" if has else ""

    def _source(self, name: str) -> str:
        """The hub's name of the model, where the exporter was given one and not a folder."""
        given = self.index.get("_name_or_path")
        return given if isinstance(given, str) and given and not Path(given).is_absolute() else name


def _is_listed(index: Config, name: str) -> bool:
    found = index.get(name)
    return isinstance(found, list) and found[:1] != [None]


def _stored(graph: GraphSpec) -> Storage:
    assert graph.precision
    return graph.precision


def _family(configs: Mapping[str, Config]) -> Family:
    """XL has a U-Net that is told more than a timestep, version 2 OpenCLIP's text encoder."""
    if configs["unet"].get("addition_embed_type") == "text_time":
        return "sdxl"
    is_open_clip = configs.get("text_encoder", {}).get("hidden_act") == "gelu"
    return "sd2" if is_open_clip else "sd1"


def _latent(root: Path, vae: Config) -> Latent:
    for name in ("shift_factor", "latents_mean", "latents_std"):
        if vae.get(name):
            raise UnsupportedError(
                f"{root / 'vae_decoder'} has {name} = {vae[name]!r}; sdrt only scales latents"
            )
    levels = vae.get("block_out_channels")
    if not isinstance(levels, list) or not levels:
        raise ArtifactError(
            f"{root / 'vae_decoder' / 'config.json'} has no block_out_channels; export it again"
        )
    return Latent(
        channels=vae.get("latent_channels", 4),
        downscale=2 ** (len(levels) - 1),
        scale=vae.get("scaling_factor", 0.18215),
    )


def _prediction(root: Path, scheduler: Config) -> Prediction:
    found = scheduler.get("prediction_type", "epsilon")
    if found not in PREDICTIONS:
        raise UnsupportedError(f"{root} predicts {found!r}; expected {', '.join(PREDICTIONS)}")
    return found  # type: ignore[no-any-return]


def _defaults(scheduler: Config, unet: Config, latent: Latent, family: Family) -> Defaults:
    sampler_settings = read_sampler_settings(scheduler)
    latents = unet.get("sample_size")
    size = latents * latent.downscale if isinstance(latents, int) else 512
    return Defaults(
        width=size,
        height=size,
        sampler=sampler_settings.sampler,
        scheduler=sampler_settings.scheduler,
        sampler_options=dict(sampler_settings.options),
        guidance_scale=GUIDANCE[family],
    )


def read_signature(format: Format, path: Path) -> Signature:
    """Read a graph's file; raises `ArtifactError` for one that is none.

    Raises `MissingExtraError` where it takes an engine that is not installed.
    """
    if format == "onnx":
        from sdrt.backends.onnxruntime.signature import read_onnx_signature

        return read_onnx_signature(path)
    from sdrt.backends.openvino.signature import read_openvino_signature

    return read_openvino_signature(path)
