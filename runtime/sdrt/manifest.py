"""The manifest of an artifact, as typed models: the contract of export, runtime and other hosts."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

GUIDANCE_INPUT = "timestep_cond"
"""Input of networks distilled with guidance: the guidance scale, as an embedding."""

MANIFEST_NAME = "manifest.json"
SCHEMA: Literal[1] = 1

Family = Literal["sd1", "sd2", "sdxl"]
Precision = Literal["fp32", "bf16", "int8"]
Storage = Precision | Literal["fp16", "int8-weights", "int4-weights"]
"""How weights are stored: in a precision of sdrt, or in one that only other tools write.

In the last two the weights alone are integers; the arithmetic is in floating point.
"""
Format = Literal["onnx", "openvino"]
Prediction = Literal["epsilon", "v_prediction", "sample"]
Curve = Literal["linear", "scaled_linear", "squaredcos_cap_v2"]
Spacing = Literal["leading", "trailing", "linspace"]
Positive = Annotated[int, Field(gt=0, lt=2**63)]  # other hosts count in 64 bits
Dimension = Positive | str  # a name stands for any size
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
FORMATS: tuple[Format, ...] = ("onnx", "openvino")
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v_prediction", "sample")
SPACINGS: tuple[Spacing, ...] = ("leading", "trailing", "linspace")

LAYER_STATES = "layer_states"
"""Output of a text encoder: (batch, layers, tokens, width), each layer after the last norm."""
HIDDEN_STATES = "hidden_states."
"""Prefix of outputs of SDXL's text encoders: (batch, tokens, width), before the last norm.

Number 0 is the input of the first layer, number N the output of the Nth.
"""
POOLED = "text_embeds"
"""The embedding of a whole text (batch, width): output of a text encoder, input of a U-Net."""
PICTURE = "time_ids"
"""Input of a U-Net: original height and width, top and left of the crop, target height and width.

Its shape is (batch, 6); a refiner's is (batch, 5), with an aesthetic score instead of the last two.
Podell et al. 2023, arXiv 2307.01952, sections 2.2 and 2.3.
"""
TINY_DECODER = "vae_decoder_tiny"
"""A graph that can replace `vae_decoder`: the same latents, less work, a rougher picture."""


class Model(BaseModel):
    """Base of everything read from JSON or YAML: frozen, strict about names, finite only."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )


class Lora(Model):
    """A LoRA that was merged into the weights, and the weight that it was merged with."""

    file: str
    sha256: Sha256
    weight: float


class Source(Model):
    """Where the weights came from."""

    id: str
    revision: str | None = None
    loras: tuple[Lora, ...] = ()

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave an empty list of LoRAs out, so that older manifests keep their text and hash."""
        written: dict[str, Any] = handler(self)
        if not self.loras:
            del written["loras"]
        return written


class Schedule(Model):
    """The noise levels that the model was trained on, and its authors' spacing of the steps."""

    train_steps: Annotated[int, Field(gt=0, le=100_000)] = 1000
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.00085
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.012
    curve: Curve = "scaled_linear"
    zero_terminal_snr: bool = False
    spacing: Spacing = "leading"
    offset: Annotated[int, Field(ge=0)] = 0


class Preview(Model):
    """A linear map from the U-Net's space to red, green and blue in -1..1: x @ matrix + bias."""

    matrix: tuple[tuple[float, float, float], ...]
    """A row of three weights for each channel."""
    bias: tuple[float, float, float]


class Latent(Model):
    """The space the U-Net works in: images divided by `downscale`, values times `scale`."""

    channels: Positive
    downscale: Positive
    scale: float
    preview: Preview | None = None
    """The map for previews without the decoder; where it is missing, the runtime fits one."""

    @model_validator(mode="after")
    def _check_preview(self) -> "Latent":
        if self.preview and len(self.preview.matrix) != self.channels:
            rows = len(self.preview.matrix)
            raise ValueError(f"preview has {rows} rows, expected {self.channels}")
        return self


class TextEncoder(Model):
    """A text encoder and its use."""

    graph: str
    tokenizer: str
    """The folder of its tokenizer."""
    length: Positive = 77
    """How many tokens a chunk of a prompt has."""
    layer: Literal["last", "penultimate"] = "last"
    """The layer of the trained network whose states the U-Net takes.

    The graph ends with this layer, unless it has outputs `hidden_states.N`: then it has all layers,
    and the states are those before the last norm.
    """


class TensorSpec(Model):
    """Name, numpy dtype and shape of an input or output; named dimensions are free."""

    name: str
    dtype: Literal["float32", "int64", "int32", "bool"]
    shape: tuple[Dimension, ...]


class Quantization(Model):
    """How a network was quantized to int8."""

    sqnr_db: dict[str, float]
    """Signal-to-error ratio of the network's output, dB, with this layer alone quantized."""
    kept: tuple[str, ...]
    """Layers that stayed in floating point."""
    share: Annotated[float, Field(ge=0, le=1)]
    """The share of the layers' multiplications that are in int8."""
    samples: int
    steps: int
    seed: int


class GraphSpec(Model):
    """A network: its files in each format (the first is the one to open), inputs and outputs."""

    files: dict[Format, tuple[str, ...]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    precision: Storage | None = None
    """How its weights are stored, if not in the artifact's precision."""
    quantization: Quantization | None = None
    parity_db: dict[str, float] = {}
    """Signal-to-noise ratio against torch fp32 by backend, dB: the worst over all test inputs."""


class Defaults(Model):
    """The options of a picture for which the caller gives no value."""

    width: Positive = 512
    height: Positive = 512
    num_inference_steps: Positive = 20
    sampler: str = "dpm++2m"
    scheduler: str = "default"
    sampler_options: dict[str, bool | int | float | str] = {}
    guidance_scale: Annotated[float, Field(ge=0)] = 7.5


class FileRecord(Model):
    """Size in bytes and SHA-256 of one file."""

    size: Annotated[int, Field(ge=0, lt=2**63)]
    sha256: Sha256


class Manifest(Model):
    """Everything that the runtime needs to know about a model besides its weights."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    name: str
    family: Family
    source: Source
    precision: Storage
    prediction: Prediction
    schedule: Schedule
    latent: Latent
    text_encoders: Annotated[tuple[TextEncoder, ...], Field(min_length=1)]
    graphs: dict[str, GraphSpec]
    defaults: Defaults = Defaults()
    files: dict[str, FileRecord] = {}
    made_with: dict[str, str] = {}
    """Versions of the packages that made the artifact."""
    zeros_for_empty_prompt: bool = False
    """Whether an empty negative prompt has zeros as its embeddings, and is not encoded.

    Written only where true, so that manifests of other models keep their text and hash.
    """

    @model_serializer(mode="wrap")
    def _without_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        if not self.zeros_for_empty_prompt:
            del data["zeros_for_empty_prompt"]
        return data

    def stored(self, graph: str) -> Storage:
        """How a graph's weights are stored."""
        return self.graphs[graph].precision or self.precision

    @property
    def text_layers(self) -> int:
        """How many layers of the text encoders can be used: 1 in artifacts of older exporters."""
        return min(self._layers(encoder) for encoder in self.text_encoders)

    @property
    def text_width(self) -> Dimension:
        """Width of the embeddings that the U-Net takes."""
        return self._width("encoder_hidden_states") or "width"

    @property
    def text_tokens(self) -> Dimension:
        """How many tokens' embeddings the U-Net takes; a name where it takes any number."""
        shape = self._unet_input("encoder_hidden_states")
        return shape[1] if len(shape) == 3 else "tokens"

    @property
    def pooled_width(self) -> Dimension | None:
        """Width of the pooled embedding that the U-Net takes; None if it takes none."""
        return self._width(POOLED)

    @property
    def picture_numbers(self) -> int:
        """How many numbers about the picture the U-Net takes: 0, 6, or 5 of a refiner."""
        width = self._width(PICTURE)
        return width if isinstance(width, int) else 0

    @property
    def conditions(self) -> int:
        """Channels that the U-Net takes besides the latents'; most models have none."""
        match self._unet_input("sample"):
            case (_, int(channels), *_):
                return channels - self.latent.channels
        return 0

    @property
    def takes_mask(self) -> bool:
        """Whether it is an inpainting model, with a mask and the masked picture as inputs."""
        return self.conditions == self.latent.channels + 1

    @property
    def downscale(self) -> int:
        """How many pixels there are for each latent, along a side."""
        return self.latent.downscale

    @property
    def takes_depth(self) -> bool:
        """Whether it paints over a depth map, like Stable Diffusion 2's depth model."""
        return self.conditions == 1

    @property
    def edits(self) -> bool:
        """Whether it edits a picture as the prompt instructs, like InstructPix2Pix."""
        return self.conditions == self.latent.channels

    def _layers(self, encoder: TextEncoder) -> int:
        graph = self.graphs.get(encoder.graph)
        outputs = graph.outputs if graph else ()
        states = sum(output.name.startswith(HIDDEN_STATES) for output in outputs)
        if states and encoder.layer == "penultimate":
            return states - 2  # without the embeddings and the last layer
        for output in outputs:
            match output.name, output.shape:
                case (name, (_, int(layers), _, _)) if name == LAYER_STATES:
                    return layers
        return 1

    def _width(self, name: str) -> Dimension | None:
        shape = self._unet_input(name)
        return shape[-1] if shape else None

    def _unet_input(self, name: str) -> tuple[Dimension, ...]:
        """Shape of an input of the U-Net; empty where there is none of that name."""
        unet = self.graphs.get("unet")
        inputs = unet.inputs if unet else ()
        return next((tensor.shape for tensor in inputs if tensor.name == name), ())

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def explain_validation_error(error: ValidationError) -> str:
    """Every problem of a pydantic error, in one line."""
    problems = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        problems.append(f"{place}: {problem['msg'][0].lower()}{problem['msg'][1:]}")
    return "; ".join(problems)


def guidance_width(unet: GraphSpec | None) -> int:
    """Width of the guidance embedding that a U-Net takes; 0 if it takes none, or is missing."""
    inputs = unet.inputs if unet else ()
    return next((int(spec.shape[1]) for spec in inputs if spec.name == GUIDANCE_INPUT), 0)
