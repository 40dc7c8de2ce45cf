"""How much memory a run will take, estimated before anything is loaded.

Weights follow from the sizes of files. What is held between them is estimated from a few factors
for each engine, measured with onnxruntime 1.32 and openvino 2026.4 on x86: the embedded model's
U-Net from 64 to 1536 pixels with one to four rows in a batch, its decoder from 64 to 1024 pixels,
the U-Net of Stable Diffusion 1.5 at 512x512 (with ONNX Runtime to 768x768), and its autoencoder to
768x768 and in tiles. The estimates are within 30 % of all of these, or within 0.1 GB. For whole
processes with the embedded model, from 128 to 1024 pixels and in tiles, they are within 15 % with
OpenVINO, and with ONNX Runtime within 20 % under a limit; without one its peaks vary by more from
run to run, because glibc keeps a part of what was freed.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sdrt import machine
from sdrt.artifact.artifact import Artifact
from sdrt.artifact.controlnet import CONTROLNET, ControlNetFolder, ControlNetManifest
from sdrt.backends.backend import Backend
from sdrt.backends.graph import Network
from sdrt.files.text_file import read_json
from sdrt.manifest import Manifest, Precision, Storage
from sdrt.networks.open_model import OpenModel
from sdrt.networks.tiling import Tiling
from sdrt.request.request import Request

BYTES: dict[Storage, float] = {
    "fp32": 4,
    "bf16": 2,
    "int8": 1,
    "fp16": 2,
    "int8-weights": 1,
    "int4-weights": 0.5,
}
"""Bytes of one weight. Where weights alone are integers, engines may widen them all."""
MOST_KEPT = 500_000_000  # freed bytes that glibc keeps at most; large arrays always go back
ENCODER, TILED_ENCODER = 0.5, 0.6  # memory of an encoder as a share of a decoder's
FP32_BYTES_IN_BF16 = 140  # for each pixel: layers near the picture stay in fp32
CONTROL_SHARE = 0.6  # memory of a ControlNet, which is half a U-Net, as a share of the U-Net's
GIVEN_SHARE = 0.4  # of what ControlNets give: as they gave it, and as the U-Net takes it
PICTURE_BYTES = 5  # for each value of a picture: four as decoded, one as a pixel
# Of Stable Diffusion 1.5, for models that come without their configuration.
UNET_CHANNELS, UNET_HEADS, DECODER_CHANNELS = [320, 640, 1280, 1280], 8, [128, 256, 512, 512]


@dataclass(frozen=True)
class Engine:
    """What an engine holds in memory besides one copy of the weights."""

    library: int
    """Bytes that are loaded with the first network."""
    unet_structure: int
    """Bytes of the U-Net that are not weights."""
    structure: int
    """Bytes of any other network that are not weights."""
    unet: float
    """Values for each latent pixel, row of the batch and channel of the U-Net's first level."""
    decoder: float
    """Values for each pixel and channel at the decoder's full size; an encoder has half as many."""
    attention: float
    """As `unet`, for the first level that has attention; the larger of the two counts."""
    scores: float
    """Share of the largest attention matrix in memory at once, if a graph makes it in steps."""
    packs: float
    """Share of the weights in memory twice while they are brought into the kernels' order."""
    shallow: float
    """What a run that uses deep features again adds, as a share of the U-Net's values."""
    widens: bool
    """Whether bf16 weights stay in memory next to the fp32 weights that are made of them."""


ENGINES = {
    "openvino": Engine(
        library=48_000_000,
        unet_structure=110_000_000,
        structure=22_000_000,
        unet=12.1,
        decoder=1.16,
        attention=0,
        scores=0,
        packs=0,
        shallow=0.8,
        widens=False,
    ),
    "onnxruntime": Engine(
        library=34_000_000,
        unet_structure=4_000_000,
        structure=4_000_000,
        unet=33.0,
        decoder=3.85,
        attention=0,
        scores=0.7,
        packs=0.2,
        shallow=0.45,
        widens=True,
    ),
}
TIGHT_ENGINES = {
    "openvino": ENGINES["openvino"],
    "onnxruntime": replace(ENGINES["onnxruntime"], unet=15.0, attention=26.0, decoder=1.5),
}
"""The same where freed arrays go back to the system at once."""


@dataclass(frozen=True)
class MemoryPlan:
    """What decides how much memory a run takes."""

    artifact: Artifact
    backend: Backend
    keep: frozenset[str]
    """Networks that stay in memory after their use."""
    loaded: frozenset[str]
    """Networks that are in memory already."""
    width: int
    height: int
    images: int
    is_doubled: bool
    """Whether all branches of a guided step run as one batch."""
    has_image: bool = False
    """Whether a picture has to be encoded first."""
    is_tiled: bool = False
    """Whether the VAE works in tiles."""
    changed: Mapping[str, int] = field(default_factory=dict)
    """How many weights of each network LoRAs change; those are in memory twice."""
    is_guided: bool = False
    """Whether any step is guided."""
    branches: int = 2
    """How many branches a guided step has: three for some models that edit pictures."""
    before: int = 0
    """Bytes that the process has in memory already."""
    reuses_features: bool = False
    """Whether some steps run only the U-Net's last layers, which are then in memory beside it."""
    first: tuple[int, int] | None = None
    """Width and height of the first pass, where hires makes a second."""
    decoder: str = "vae_decoder"
    """The network that decodes latents to pictures."""
    previews: str | None = None
    """The network that decodes steps on the way while the U-Net is in memory, if any does."""
    controlnets: Mapping[str, ControlNetFolder] = field(default_factory=dict)
    """The ControlNets by their networks' names, which are in memory while the U-Net is."""
    gives_back: bool = False
    """Whether freed arrays go back to the system at once (`machine.give_back_freed_arrays`)."""

    @classmethod
    def for_request(
        cls, model: OpenModel, request: Request, previewer: str | None = None
    ) -> "MemoryPlan":
        """The plan of a request; `previewer` is the network that decodes steps on the way."""
        is_doubled = request.is_guided and not request.guidance.is_split
        first, largest = (request.width, request.height), request.hires or request
        size = largest.width, largest.height
        has_image = request.init is not None or request.hires is not None
        images = len(request.seeds)
        is_tiled = request.vae_tiling is True
        return cls(
            model.artifact,
            model.backend,
            model.networks.keep,
            model.networks.loaded,
            *size,
            images,
            is_doubled,
            has_image,
            is_tiled,
            changed=model.adapters.count_patched(),
            is_guided=request.is_guided,
            branches=request.branches,
            before=machine.resident_bytes(),
            reuses_features=request.feature_reuse.is_on,
            first=first if request.hires else None,
            decoder=request.decoder,
            previews=previewer,
            controlnets=model.networks.controlnets.of(request.controls),
        )

    def peak(self) -> tuple[str, int]:
        """The network that runs when the run needs most, and how many bytes more than now."""
        # OpenVINO compiles a network for each size, and its buffers stay with it. ONNX Runtime has
        # one form for all, and gives them back.
        is_static = self.backend.name == "openvino"
        kept = 0 if self.loaded else self._engine.library
        peaks: dict[str, int] = {}
        held: set[str] = set()
        together = 0  # of text encoders, which are released as one
        for name, stage in self._stages():
            weights = 0 if name in held else stage._weights(name)
            activations = stage._activations(name)
            if name == "unet" and self.controlnets:
                weights += sum(self._weights(net) for net in self.controlnets if net not in held)
                activations += stage._controls(activations, is_static)
            others = together if name in self._text_encoders else 0
            if name == "unet" and self.previews is not None:
                shown = self.previews
                loaded = 0 if shown in held else stage._weights(shown)
                decoded = stage._activations(shown)
                unet = weights + (activations if is_static else 0)
                peaks[shown] = max(peaks.get(shown, 0), kept + unet + loaded + decoded)
                if shown in self.keep:
                    others += loaded + (decoded if is_static else 0)
            working = max(activations, int(self._engine.packs * weights))
            peaks[name] = max(peaks.get(name, 0), kept + others + weights + working)
            if name in self.keep:
                kept += weights + (activations if is_static else 0)
                held |= set() if is_static else {name, *self.controlnets}
            elif name in self._text_encoders:
                together += weights
        name = max(peaks, key=lambda name: peaks[name])
        return name, peaks[name]

    def _stages(self) -> Iterator[tuple[str, "MemoryPlan"]]:
        """The networks in the order in which they run, each with the plan of its pass."""
        passes = [self]
        if self.first:
            width, height = self.first
            passes.insert(0, replace(self, width=width, height=height, first=None))
        yield from self._there(*self._text_encoders)
        for plan in passes:
            encoder = ["vae_encoder"] if self.has_image and plan is self else []
            yield from plan._there(*encoder, "unet", self.decoder)

    @property
    def _text_encoders(self) -> list[str]:
        return [encoder.graph for encoder in self.artifact.manifest.text_encoders]

    def _there(self, *names: str) -> Iterator[tuple[str, "MemoryPlan"]]:
        yield from ((name, self) for name in names if name in self.artifact.manifest.graphs)

    def _weights(self, name: str) -> int:
        """Bytes of a network in memory, without what it computes."""
        if name in self.loaded:
            return 0
        manifest, graph = self._description(name)
        files = manifest.graphs[graph].files
        format = next((format for format in self.backend.formats if format in files), None)
        # What is not listed is refused when it is opened.
        records = [manifest.files.get(file) for file in files[format]] if format else []
        size = sum(record.size for record in records if record)
        stored, engine = manifest.stored(graph), self._engine
        changed = int(self.changed.get(name, 0) * BYTES[stored])
        structure = engine.unet_structure if name == "unet" else engine.structure
        if stored == "int8":
            return structure + size
        executed = self.precision_of(name)
        held = int(size / BYTES[stored] * BYTES[executed])
        return structure + held + changed + (size if engine.widens and stored != executed else 0)

    def _description(self, name: str) -> tuple[Manifest | ControlNetManifest, str]:
        """The manifest that a network is in, and its graph's name there."""
        if name in self.controlnets:
            return self.controlnets[name].manifest, CONTROLNET
        return self.artifact.manifest, name

    def _controls(self, unet: int, is_static: bool) -> int:
        """Bytes of what ControlNets hold while the U-Net, which holds so many, runs.

        Where buffers do not stay between runs, that is what they gave.
        """
        return int(unet * (CONTROL_SHARE * len(self.controlnets) if is_static else GIVEN_SHARE))

    def _activations(self, name: str) -> int:
        """Bytes of what a network holds while it runs."""
        downscale = self.artifact.manifest.latent.downscale
        latent_pixels = self.width * self.height // downscale**2
        width = BYTES[self.precision_of(name)]
        if name == "unet":
            rows = self.images * (self.branches if self.is_doubled else 1)
            forms = 1 + self._engine.shallow * self.reuses_features
            return int(self._unet(latent_pixels) * rows * width * forms)
        if name in (self.decoder, self.previews, "vae_encoder"):
            pictures = self.images * self.width * self.height * 3 * PICTURE_BYTES
            in_fp32 = FP32_BYTES_IN_BF16 * self.vae_pixels if width == BYTES["bf16"] else 0
            return int(self._vae(name) * width) + in_fp32 + self._context(name) + pictures
        return 0

    def _vae(self, name: str) -> float:
        """Values that half of the autoencoder holds."""
        channels = self._channels(name)
        last, given = channels[0], channels[min(1, len(channels) - 1)]
        tight = TIGHT_ENGINES[self.backend.name].decoder
        size = (last + 2 * given) * self.vae_pixels
        kept = min((self._engine.decoder - tight) * size, MOST_KEPT / BYTES["fp32"])
        share = 1.0
        if name == "vae_encoder":
            share = TILED_ENCODER if self.is_tiled else ENCODER
        return share * (tight * size + kept)

    def _context(self, name: str) -> int:
        """Bytes of each picture's tile context: keys and values of attention."""
        if not self.is_tiled:
            return 0
        latents = self.vae_pixels // self.artifact.manifest.latent.downscale**2
        return 2 * latents * self._channels(name)[-1] * int(BYTES["fp32"]) * self.images

    @property
    def vae_pixels(self) -> int:
        """How many the VAE works on at once."""
        if not self.is_tiled:
            return self.width * self.height
        downscale = self.artifact.manifest.latent.downscale
        sides = self.height // downscale, self.width // downscale
        latents = Tiling.for_size(*sides).size(*sides)
        return math.prod(latents) * downscale**2

    def precision_of(self, name: str) -> Precision:
        """What the floats of a network will run in."""
        manifest, graph = self._description(name)
        network = Network(name, manifest.graphs[graph], (), manifest.stored(graph))
        return "bf16" if self.backend.in_fp32(network) else "fp32"

    @property
    def _engine(self) -> Engine:
        engines = TIGHT_ENGINES if self.gives_back else ENGINES
        return engines[self.backend.name]

    def _unet(self, latent_pixels: int) -> float:
        """Values that it holds for one row of the batch."""
        config = self._config("unet")
        channels = _numbers(config.get("block_out_channels"), UNET_CHANNELS)
        blocks = config.get("down_block_types")
        kinds = [str(kind) for kind in blocks] if isinstance(blocks, list) else []
        level = next((i for i, kind in enumerate(kinds) if kind.startswith("CrossAttn")), 0)
        # In diffusers' configurations of this family the "dim" is the number of heads.
        heads = _numbers(config.get("attention_head_dim"), [UNET_HEADS])
        tokens = latent_pixels // 4**level
        convolving = self._engine.unet * channels[0] * latent_pixels
        attending = self._engine.attention * channels[min(level, len(channels) - 1)] * tokens
        matrix = heads[min(level, len(heads) - 1)] * tokens**2
        # In sdrt's own graphs an attention is one node, which makes the matrix piece by piece.
        scores = self._engine.scores * matrix if self.artifact.is_foreign else 0.0
        return float(max(convolving, attending) + scores)

    def _channels(self, name: str) -> list[int]:
        """Of half of the autoencoder, from the level at full size to that of the latents."""
        config = self._config(name)
        channels = config.get("block_out_channels", config.get("decoder_block_out_channels"))
        return _numbers(channels, DECODER_CHANNELS)

    def _config(self, name: str) -> dict[str, Any]:
        config = read_json(self.artifact.root / name / "config.json")
        return config if isinstance(config, dict) else {}


def _numbers(value: object, otherwise: list[int]) -> list[int]:
    """A configuration's whole number, or whole numbers; a file may hold anything."""
    listed = value if isinstance(value, list) else [value]
    numbers = [number for number in listed if isinstance(number, int) and number > 0]
    return numbers if numbers and len(numbers) == len(listed) else otherwise
