"""LoRAs and words of one's own with Stable Diffusion XL: the pictures that diffusers makes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from sdrt.adapters.lora_loading import LoraSpec
from sdrt.artifact import open_artifact
from sdrt.errors import UsageError
from sdrt_bench.similarity import psnr_db
from sdrt_export.graphs.networks import XlTextEncoderModule, networks
from sdrt_export.sources.lora import with_loras
from tests.export.families.xl_twin import (
    SIZE,
    checkpoint,
    open_pipeline,
    theirs,
    they_paint,
    we_paint,
)
from tests.export.sources.lora.writing import Tensors, kohya, random_lora, save

WEIGHT = 0.7
WORD_PROMPT = "a boat, <ink>, at 7"
ENGINES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For both text encoders and the U-Net."""
    lora = random_lora(checkpoint(), size=0.05)
    assert {part for part, _ in lora} == {"text_encoder", "text_encoder_2", "unet"}
    return save(tmp_path_factory.mktemp("lora") / "ink.safetensors", kohya(lora))


@pytest.fixture(scope="module")
def inked(ink: Path) -> np.ndarray:
    """A picture by diffusers, which loads the LoRA with PEFT."""
    pipe = theirs()
    pipe.load_lora_weights(ink.parent, weight_name=ink.name, adapter_name="ink")
    pipe.set_adapters("ink", WEIGHT)
    return they_paint(pipe, **SIZE)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_lora_at_run_time_makes_the_picture_of_diffusers(
    tiny_sdxl: Path, ink: Path, inked: np.ndarray, engine: str
) -> None:
    pipe = open_pipeline(open_artifact(tiny_sdxl), engine)
    assert psnr_db(we_paint(pipe, **SIZE), inked) < 35
    pipe.use_loras(f"{ink}:{WEIGHT}")
    assert psnr_db(we_paint(pipe, **SIZE), inked) >= 50


def test_what_is_exported_has_the_lora_in_its_weights(ink: Path) -> None:
    """That graphs compute what these modules compute is measured in every export."""
    pipe = theirs()
    pipe.load_lora_weights(ink.parent, weight_name=ink.name, adapter_name="ink")
    pipe.fuse_lora(components=["unet", "text_encoder", "text_encoder_2"], lora_scale=WEIGHT)
    pipe.unload_lora_weights()
    merged = with_loras(checkpoint(), [LoraSpec(ink, WEIGHT)])
    modules = {
        network.name: network.module.get_submodule("network") for network in networks(merged)
    }
    for part in ("text_encoder", "text_encoder_2", "unet"):
        expected = getattr(pipe, part).state_dict()
        assert modules[part].state_dict().keys() == expected.keys()
        for name, weight in modules[part].state_dict().items():
            torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def vectors() -> Tensors:
    """Of a word of two tokens, for each encoder."""
    generator = torch.Generator().manual_seed(9)
    widths = {"clip_l": 64, "clip_g": 128}
    return {name: torch.randn(2, width, generator=generator) for name, width in widths.items()}


@pytest.fixture(scope="module")
def worded(vectors: Tensors) -> np.ndarray:
    """A picture by diffusers, which knows the word."""
    pipe = theirs()
    for name, end in (("clip_l", ""), ("clip_g", "_2")):
        encoder, tokenizer = (
            getattr(pipe, f"{part}{end}") for part in ("text_encoder", "tokenizer")
        )
        pipe.load_textual_inversion(
            vectors[name], token="<ink>", text_encoder=encoder, tokenizer=tokenizer
        )
    return they_paint(pipe, WORD_PROMPT, negative_prompt="<ink>", **SIZE)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_word_for_both_encoders_makes_the_picture_of_diffusers(
    tiny_sdxl: Path, vectors: Tensors, worded: np.ndarray, tmp_path: Path, engine: str
) -> None:
    file = save(tmp_path / "ink.safetensors", vectors)
    pipe = open_pipeline(open_artifact(tiny_sdxl), engine)
    options = {"negative_prompt": "<ink>", **SIZE}
    assert psnr_db(we_paint(pipe, WORD_PROMPT, **options), worded) < 35
    pipe.use_embeddings(f"{file}:<ink>")
    assert psnr_db(we_paint(pipe, WORD_PROMPT, **options), worded) >= 50


def test_a_word_may_come_in_a_file_for_each_encoder(
    tiny_sdxl: Path, vectors: Tensors, tmp_path: Path
) -> None:
    """As diffusers' training writes them, now and at first."""
    pipe = open_pipeline(open_artifact(tiny_sdxl))
    both = save(tmp_path / "ink.safetensors", vectors)
    pipe.use_embeddings(str(both))
    expected = pipe.encode_text("a boat, ink")
    old = {"text_encoders_0": vectors["clip_l"], "text_encoders_1": vectors["clip_g"]}
    first = save(tmp_path / "a.safetensors", {"ink": vectors["clip_l"]})
    second = save(tmp_path / "b.safetensors", {"ink": vectors["clip_g"]})
    for files in ([f"{save(tmp_path / 'old.safetensors', old)}:ink"], [str(first), str(second)]):
        pipe.use_embeddings()
        assert not np.array_equal(pipe.encode_text("a boat, ink").states, expected.states)
        pipe.use_embeddings(*files)
        found = pipe.encode_text("a boat, ink")
        np.testing.assert_array_equal(found.states, expected.states)
        np.testing.assert_array_equal(found.pooled, expected.pooled)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"clip_l": torch.ones(2, 64)}, r".2 for text_encoder, 0 for text_encoder_2.; expected "
         "clip_l and clip_g in one file, or a file for each"),
        ({"clip_l": torch.ones(2, 64), "clip_g": torch.ones(1, 128)},
         "has not as many vectors for each text encoder"),
        ({"clip_l": torch.ones(2, 64), "clip_g": torch.ones(2, 1280)},
         "its vectors have 1280 numbers, the text encoder's 128; it is for the second encoder of"),
        ({"emb_params": torch.ones(2, 768)}, "it is for Stable Diffusion 1, or the first encoder"),
    ],
)  # fmt: skip
def test_a_word_needs_vectors_for_both_encoders(
    tiny_sdxl: Path, tmp_path: Path, tensors: Tensors, message: str
) -> None:
    pipe = open_pipeline(open_artifact(tiny_sdxl))
    with pytest.raises(UsageError, match=message):
        pipe.use_embeddings(str(save(tmp_path / "a.safetensors", tensors)))


def test_a_text_is_read_to_its_end_though_a_word_has_a_larger_id() -> None:
    """Configurations of the hub say 2 of every text encoder, and mean the largest id there is."""
    encoder = checkpoint().text_encoder_2()
    encoder.resize_token_embeddings(515, mean_resizing=False)
    old = CLIPTextConfig.from_dict({**encoder.config.to_dict(), "eos_token_id": 2})
    legacy = CLIPTextModelWithProjection(old).eval()
    legacy.load_state_dict(encoder.state_dict())
    module = XlTextEncoderModule(legacy)
    plain, word = (torch.tensor([[512, 5, token, 513, *[0] * 73]]) for token in (6, 514))
    before = [module(ids)[0] for ids in (plain, word)]
    module.reads_text_to(513)
    assert torch.equal(module(plain)[0], before[0])
    assert torch.equal(module(word)[0], encoder(word).text_embeds)
    assert not torch.allclose(before[1], encoder(word).text_embeds, atol=0.01)
