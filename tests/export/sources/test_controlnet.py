"""ControlNets as sources: diffusers folders, and single files in their authors' naming."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from safetensors.torch import save_file

from sdrt.adapters.unet_layer_names import renamed
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt_export.export_options import SourceOptions
from sdrt_export.presets import read_preset
from sdrt_export.sources.controlnet import ControlNetCheckpoint, RandomControlNet
from sdrt_export.sources.opening import open_checkpoint, open_source
from sdrt_export.sources.single_file import controlnet as single_file
from sdrt_export.sources.single_file import diffusers_settings
from sdrt_export.sources.single_file.controlnet import controlnet_names
from tests.export.controlnets import (
    controlnet_of,
    tiny_controlnet_checkpoint,
    xl_controlnet_checkpoint,
)

HEADS = {
    "sd1": {"num_heads": 2},
    "sd2": {"num_head_channels": 16},
    "sdxl": {"num_head_channels": 16},
}
"""As if models of the widths that the tests use were published."""

Weights = dict[str, torch.Tensor]


def sd2() -> RandomControlNet:
    geometry = read_preset("tiny-sd2")[1].geometry
    assert geometry
    return controlnet_of(geometry.unet, "control")


def sd1() -> RandomControlNet:
    """Its attention has convolutions where Stable Diffusion 2 has linear layers."""
    own = {"use_linear_projection": False, "attention_head_dim": 2, "cross_attention_dim": 96}
    return replace(sd2(), config={**sd2().config, **own})


def opened(path: Path, **options: Any) -> ControlNetCheckpoint:
    source = open_source(path, SourceOptions(**options))
    assert isinstance(source, ControlNetCheckpoint)
    return source


def in_authors_names(made: RandomControlNet, prefix: str = single_file.PREFIX) -> Weights:
    table = {ours: theirs for theirs, ours in controlnet_names(made.config).items()}
    weights = made.network().state_dict()
    return {prefix + renamed(name, table): weight for name, weight in weights.items()}


@pytest.fixture(autouse=True)
def _small_models_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for made in (sd1(), sd2(), xl_controlnet_checkpoint()):
        widths = made.config["cross_attention_dim"], made.config["block_out_channels"][0]
        monkeypatch.setitem(diffusers_settings.KNOWN_HEADS, widths, HEADS[made.family])
    monkeypatch.setattr(single_file, "POOLED_XL", xl_controlnet_checkpoint().pooled_width)


@pytest.mark.parametrize("prefix", ["control_model.", ""])
@pytest.mark.parametrize("make", [sd1, sd2, xl_controlnet_checkpoint])
def test_a_single_file_gives_each_of_its_weights(tmp_path: Path, make: Any, prefix: str) -> None:
    """Every tensor is used once, as diffusers' own converter uses it."""
    made = make()
    path, weights = tmp_path / "control.safetensors", in_authors_names(made, prefix)
    save_file(weights, path)
    source = opened(path)
    assert source.family == made.family
    assert source.levels == made.levels
    loaded, original = source.network().state_dict(), made.network().state_dict()
    assert loaded.keys() == original.keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in original.items())
    theirs = convert_controlnet_checkpoint(dict(weights), made.config)
    theirs = {name: weight for name, weight in theirs.items() if weight is not None}
    for name, weight in theirs.items():
        assert torch.equal(loaded[name], weight), name
    assert len(theirs) > 0.95 * len(loaded)  # it knows no embedding of SDXL's sizes


@pytest.mark.parametrize("make", [sd1, sd2])
def test_a_single_file_computes_what_the_network_does(tmp_path: Path, make: Any) -> None:
    """Its sizes, number of heads and hint layers are read off the weights."""
    made = make()
    save_file(in_authors_names(made), tmp_path / "control.safetensors")
    width = made.config["cross_attention_dim"]
    inputs = torch.randn(1, 4, 8, 8), torch.tensor(7.0), torch.randn(1, 77, width)
    hint = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = made.network()(*inputs, hint, return_dict=False)
        actual = opened(tmp_path / "control.safetensors").network()(
            *inputs, hint, return_dict=False
        )
    for one, other in zip((*expected[0], expected[1]), (*actual[0], actual[1]), strict=True):
        assert torch.equal(one, other)


def test_weights_that_are_missing_or_left_over_are_listed(tmp_path: Path) -> None:
    weights, path = in_authors_names(sd1()), tmp_path / "control.safetensors"
    zero = f"{single_file.PREFIX}zero_convs.1.0.weight"
    cases = (
        ({k: v for k, v in weights.items() if k != zero}, "1 weights are missing: zero_convs.1"),
        ({**weights, "control_model.lora.up": torch.zeros(1)}, "are not known: lora.up"),
        ({**weights, "stranger": torch.zeros(1)}, "are not known: stranger"),
        ({**weights, zero: torch.zeros(3, 3, 1, 1)}, "another shape than their place: zero_convs"),
    )
    for changed, message in cases:
        save_file(changed, path)
        with pytest.raises(ArtifactError, match=message):
            open_source(path)
    # The networks that it was trained with, and training's own tables, may lie beside it.
    beside = {"model.diffusion_model.out.2.weight": torch.zeros(1), "betas": torch.zeros(1)}
    save_file({**weights, **beside}, path)
    assert opened(path).weights() == sd1().weights()


def test_a_folder_of_diffusers_is_read_with_its_configuration(tmp_path: Path) -> None:
    made = tiny_controlnet_checkpoint(global_pool_conditions=True)
    made.network().save_pretrained(tmp_path / "canny")
    source = opened(tmp_path / "canny")
    assert (source.name, source.family, source.is_pooled) == ("canny", "sd1", True)
    assert source.levels == (0, 0, 1, 1, 1)
    expected = made.network().state_dict()
    loaded = source.network().state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in expected.items())
    config = tmp_path / "canny" / "config.json"
    content = json.loads(config.read_text())
    cases: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
        ({"_class_name": "FluxControlNetModel"}, UnsupportedError, "a FluxControlNetModel"),
        ({"conditioning_channels": 1}, UnsupportedError, "hints of 1 channels"),
        ({"layers_per_block": 2}, ArtifactError, "cannot load|weights are missing"),
    )
    for change, error, message in cases:
        config.write_text(json.dumps({**content, **change}))
        with pytest.raises(error, match=message):
            opened(tmp_path / "canny").network()


def test_options_of_models_are_refused(tmp_path: Path) -> None:
    sd1().network().save_pretrained(tmp_path / "canny")
    with pytest.raises(UsageError, match="canny is a ControlNet, which has no scheduler"):
        opened(tmp_path / "canny", prediction="epsilon")
    with pytest.raises(UnsupportedError, match="canny is a ControlNet; expected a whole model"):
        open_checkpoint(tmp_path / "canny")


def test_a_file_in_diffusers_names_needs_its_folder(tmp_path: Path) -> None:
    network: ControlNetModel = sd1().network()
    save_file(network.state_dict(), tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(UsageError, match="give the folder that it is in"):
        open_source(tmp_path / "diffusion_pytorch_model.safetensors")
