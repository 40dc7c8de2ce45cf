"""What Optimum's exporter framework knows of our four networks: inputs, axes, dummy inputs.

sdrt is a backend of Optimum's TasksManager as optimum-onnx and optimum-intel are; it uses neither.
"""

from collections.abc import Mapping
from typing import Any

from optimum.exporters.base import ExporterConfig
from optimum.exporters.tasks import TasksManager
from optimum.utils import (
    DummySeq2SeqDecoderTextInputGenerator,
    DummyTextInputGenerator,
    DummyTimestepInputGenerator,
    DummyVisionInputGenerator,
    NormalizedConfig,
)

from sdrt.manifest import LAYER_STATES

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


@register("unet-2d-condition", "semantic-segmentation", library_name="diffusers")
class UNetConfig(ExporterConfig):  # type: ignore[misc]
    """The U-Net."""

    NORMALIZED_CONFIG_CLASS = NormalizedConfig.with_args(
        num_channels="in_channels",
        hidden_size="cross_attention_dim",
        vocab_size="norm_num_groups",  # the timestep generator wants an upper bound of this name
        allow_new=True,
    )
    DUMMY_INPUT_GENERATOR_CLASSES = (
        DummyVisionInputGenerator,
        DummyTimestepInputGenerator,
        DummySeq2SeqDecoderTextInputGenerator,
    )
    inputs: Axes = {
        "sample": {0: "batch", 2: "height", 3: "width"},
        "timestep": {},
        "encoder_hidden_states": {0: "batch", 1: "tokens"},
    }
    outputs: Axes = {"out_sample": {0: "batch", 2: "height", 3: "width"}}

    def generate_dummy_inputs(self, framework: str = "pt", **shapes: Any) -> dict[str, Any]:
        """As Optimum makes them, with the embeddings as a tensor of their own."""
        made: dict[str, Any] = super().generate_dummy_inputs(framework, **shapes)
        states = made["encoder_hidden_states"]
        made["encoder_hidden_states"] = states[0] if isinstance(states, tuple) else states
        return made


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
}


def exporter_config(network: str, model_config: Mapping[str, Any]) -> ExporterConfig:
    """Optimum's description of one network of a model."""
    model_type, task = TASKS[network]
    make = TasksManager.get_exporter_config_constructor(
        exporter=BACKEND, task=task, model_type=model_type, library_name="diffusers"
    )
    return make(model_config, int_dtype="int64", float_dtype="fp32")
