"""Descriptions of the networks for Optimum's exporter framework: inputs, axes, dummy inputs.

sdrt is a backend of Optimum's TasksManager as optimum-onnx and optimum-intel are; it needs neither.
"""

from typing import Any

from optimum.exporters.base import ExporterConfig
from optimum.exporters.tasks import TasksManager
from optimum.utils import (
    DummyInputGenerator,
    DummySeq2SeqDecoderTextInputGenerator,
    DummyTextInputGenerator,
    DummyTimestepInputGenerator,
    DummyVisionInputGenerator,
    NormalizedConfig,
)

from sdrt.artifact.controlnet import CONTROLNET, HINT
from sdrt.backends.residuals import residual_names
from sdrt.manifest import GUIDANCE_INPUT, HIDDEN_STATES, LAYER_STATES, PICTURE, POOLED, TINY_DECODER

BACKEND = "sdrt"
Axes = dict[str, dict[int, str]]

register = TasksManager.create_register(BACKEND)


@register("clip-text", "feature-extraction", library_name="diffusers")
class TextEncoderConfig(ExporterConfig):  # type: ignore[misc]
    """CLIP's text encoder."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig.with_args(
        vocab_size="vocab_size", sequence_length="max_position_embeddings", allow_new=True
    )
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator,)
    inputs: Axes = {"input_ids": {0: "batch"}}
    outputs: Axes = {"last_hidden_state": {0: "batch"}, LAYER_STATES: {0: "batch"}}


class _ManyStates(TextEncoderConfig):
    """A text encoder of SDXL, with the states between its layers under Optimum's names."""

    first_outputs: tuple[str, ...] = ()

    @property
    def outputs(self) -> Axes:  # type: ignore[override]
        """The encoder's own outputs, the input of each layer, and the output of the last."""
        states = [f"{HIDDEN_STATES}{i}" for i in range(self._config.num_hidden_layers + 1)]
        return {name: {0: "batch"} for name in (*self.first_outputs, *states)}


@register("clip-text-xl", "feature-extraction", library_name="diffusers")
class FirstTextEncoderConfig(_ManyStates):
    """SDXL's first text encoder."""

    first_outputs = ("last_hidden_state", "pooler_output")


@register("clip-text-with-projection", "feature-extraction", library_name="diffusers")
class SecondTextEncoderConfig(_ManyStates):
    """SDXL's second text encoder, whose first output is an embedding of the whole text."""

    first_outputs = (POOLED, "last_hidden_state")


@register("unet-2d-condition", "semantic-segmentation", library_name="diffusers")
class UNetConfig(ExporterConfig):  # type: ignore[misc]
    """The U-Net."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig.with_args(
        num_channels="in_channels",
        hidden_size="cross_attention_dim",
        vocab_size="norm_num_groups",  # the timestep generator wants an upper bound of this name
        allow_new=True,
    )
    DUMMY_INPUT_GENERATOR_CLASSES: tuple[Any, ...] = (
        DummyVisionInputGenerator,
        DummyTimestepInputGenerator,
        DummySeq2SeqDecoderTextInputGenerator,
    )
    added_inputs: Axes = {}
    outputs: Axes = {"out_sample": {0: "batch", 2: "height", 3: "width"}}

    @property
    def inputs(self) -> Axes:
        """The inputs of any U-Net, those of its kind, and the guidance scale if it takes one."""
        has_guidance = getattr(self._config, "time_cond_proj_dim", None) is not None
        return {
            "sample": {0: "batch", 2: "height", 3: "width"},
            "timestep": {},
            "encoder_hidden_states": {0: "batch", 1: "tokens"},
            **self.added_inputs,
            **({GUIDANCE_INPUT: {0: "batch"}} if has_guidance else {}),
        }

    def generate_dummy_inputs(self, framework: str = "pt", **shapes: Any) -> dict[str, Any]:
        """Optimum's dummy inputs, with the embeddings as a plain tensor."""
        inputs: dict[str, Any] = super().generate_dummy_inputs(framework, **shapes)
        states = inputs["encoder_hidden_states"]
        inputs["encoder_hidden_states"] = states[0] if isinstance(states, tuple) else states
        return inputs


@register("unet-2d-condition-xl", "semantic-segmentation", library_name="diffusers")
class XlUNetConfig(UNetConfig):
    """The U-Net of SDXL."""

    added_inputs: Axes = {POOLED: {0: "batch"}, PICTURE: {0: "batch"}}


class DummyHint(DummyInputGenerator):  # type: ignore[misc]
    """A hint of the size that the latents have as a picture."""

    SUPPORTED_INPUT_NAMES = (HINT,)

    def __init__(self, task: str, normalized_config: Any, **shapes: int) -> None:
        sides = (shapes["height"], shapes["width"])
        self.shape = (
            shapes["batch_size"],
            3,
            *(side * normalized_config.downscale for side in sides),
        )

    def generate(self, input_name: str, **types: str) -> Any:
        """Random colours."""
        return self.random_float_tensor(list(self.shape), min_value=0, max_value=1)


@register("controlnet", "semantic-segmentation", library_name="diffusers")
class ControlNetConfig(UNetConfig):
    """A ControlNet, with the inputs of its U-Net and a hint."""

    DUMMY_INPUT_GENERATOR_CLASSES: tuple[Any, ...] = (
        *UNetConfig.DUMMY_INPUT_GENERATOR_CLASSES,
        DummyHint,
    )

    @property
    def inputs(self) -> Axes:
        """The inputs of any ControlNet, and those of its kind."""
        is_xl = getattr(self._config, "addition_embed_type", None) == "text_time"
        hint: Axes = {HINT: {0: "batch", 2: "image_height", 3: "image_width"}}
        return {**super().inputs, **hint, **(XlUNetConfig.added_inputs if is_xl else {})}

    @property
    def outputs(self) -> Axes:  # type: ignore[override]
        """A residual for each skip connection, and for the middle."""
        names = residual_names(self._config.residuals)
        return {
            name: {0: "batch", 2: f"height_{i}", 3: f"width_{i}"} for i, name in enumerate(names)
        }


@register("vae-decoder", "semantic-segmentation", library_name="diffusers")
class VaeDecoderConfig(ExporterConfig):  # type: ignore[misc]
    """The autoencoder's decoder."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig.with_args(
        num_channels="latent_channels", allow_new=True
    )
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyVisionInputGenerator,)
    inputs: Axes = {"latent_sample": {0: "batch", 2: "height", 3: "width"}}
    outputs: Axes = {"sample": {0: "batch", 2: "image_height", 3: "image_width"}}


@register("vae-encoder", "semantic-segmentation", library_name="diffusers")
class VaeEncoderConfig(ExporterConfig):  # type: ignore[misc]
    """The autoencoder's encoder."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig.with_args(num_channels="in_channels", allow_new=True)
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyVisionInputGenerator,)
    inputs: Axes = {"sample": {0: "batch", 2: "image_height", 3: "image_width"}}
    outputs: Axes = {"latent_parameters": {0: "batch", 2: "height", 3: "width"}}


TASKS = {
    "text_encoder": ("clip-text", "feature-extraction"),
    "unet": ("unet-2d-condition", "semantic-segmentation"),
    "vae_decoder": ("vae-decoder", "semantic-segmentation"),
    "vae_encoder": ("vae-encoder", "semantic-segmentation"),
    TINY_DECODER: ("vae-decoder", "semantic-segmentation"),
    CONTROLNET: ("controlnet", "semantic-segmentation"),
}
XL_TASKS = {
    "text_encoder": ("clip-text-xl", "feature-extraction"),
    "text_encoder_2": ("clip-text-with-projection", "feature-extraction"),
    "unet": ("unet-2d-condition-xl", "semantic-segmentation"),
}


def exporter_config(network: str, model_config: Any, is_xl: bool = False) -> ExporterConfig:
    """Optimum's description of one network of a model."""
    model_type, task = (XL_TASKS if is_xl else {}).get(network) or TASKS[network]
    make = TasksManager.get_exporter_config_constructor(
        exporter=BACKEND, task=task, model_type=model_type, library_name="diffusers"
    )
    return make(model_config, int_dtype="int64", float_dtype="fp32")
