"""A LoRA gives the same weights however it is named."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdrt.adapters.lora_loading import LoraSpec
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt_export.sources.lora import with_loras
from sdrt_export.sources.random_weights import RandomCheckpoint
from sdrt_export.sources.single_file.weight_names import to_ldm
from tests.export.sources.lora.merging import (
    IN_FILE,
    WEIGHT,
    assert_same,
    of_part,
    parts_of,
    weights,
)
from tests.export.sources.lora.writing import (
    ALPHA,
    RANK,
    Key,
    Pair,
    diffusers,
    kohya,
    peft,
    processors,
    save,
    save_peft,
)


def test_a_layers_weight_grows_by_the_product_of_the_two_matrices(
    checkpoint: RandomCheckpoint, broad: dict[Key, Pair], tmp_path: Path
) -> None:
    file = save(tmp_path / "a.safetensors", kohya(broad))
    before, after = weights(checkpoint), weights(checkpoint, LoraSpec(file, WEIGHT))
    sizes = set()
    for (part, name), weight in after.items():
        key = (part, name.removesuffix(".weight"))
        change = torch.zeros(())
        if name.endswith(".weight") and key in broad:
            pair = broad[key]
            product = torch.einsum("or...,ri...->oi...", pair.up, pair.down)
            change = WEIGHT * ALPHA / RANK * product
            sizes.add(tuple(weight.shape[2:]))
        torch.testing.assert_close(weight, before[part, name] + change)
    assert sizes == {(), (1, 1), (3, 3)}


def test_all_schemes_give_the_same_weights(
    checkpoint: RandomCheckpoint, broad: dict[Key, Pair], tmp_path: Path
) -> None:
    file = save(tmp_path / "k.safetensors", kohya(broad))
    expected = weights(checkpoint, LoraSpec(file, WEIGHT))
    file = save(tmp_path / "d.safetensors", diffusers(broad), lora_adapter_metadata=IN_FILE)
    assert_same(weights(checkpoint, LoraSpec(file, WEIGHT)), expected)
    files = [save_peft(tmp_path / part, of_part(broad, part)) for part in parts_of(checkpoint)]
    assert_same(weights(checkpoint, *(LoraSpec(path, WEIGHT) for path in files)), expected)
    renamed = {name.replace("_A.", "_A.default."): tensor for name, tensor in peft(broad).items()}
    save(files[0], renamed)
    assert_same(weights(checkpoint, LoraSpec(files[0], WEIGHT)), expected)


def test_names_of_attentions_processors_and_of_the_original_code_are_known(
    checkpoint: RandomCheckpoint, broad: dict[Key, Pair], tmp_path: Path
) -> None:
    attention = {key: pair for key, pair in broad.items() if ".attn" in key[1] or "self_" in key[1]}
    assert {part for part, _ in attention} == set(parts_of(checkpoint))
    new = save(tmp_path / "new.safetensors", diffusers(attention))
    old = save(tmp_path / "old.safetensors", processors(attention))
    expected = weights(checkpoint, LoraSpec(new))
    assert_same(weights(checkpoint, LoraSpec(old)), expected)
    bare = {name.removeprefix("unet."): tensor for name, tensor in processors(attention).items()}
    save(old, bare)
    assert_same(weights(checkpoint, LoraSpec(old)), expected)

    unet = of_part(broad, "unet")
    config = checkpoint.unet().config
    ldm = to_ldm("unet", {f"{path}.weight": pair.down for (_, path), pair in unet.items()}, config)
    names = [name.removeprefix("model.diffusion_model.").removesuffix(".weight") for name in ldm]
    assert "input_blocks.3.1.proj_in" in names
    assert "middle_block.1.transformer_blocks.0.attn1.to_q" in names
    theirs = {("unet", name): pair for name, pair in zip(names, unet.values(), strict=True)}
    found = weights(checkpoint, LoraSpec(save(tmp_path / "ldm.safetensors", kohya(theirs))))
    ours = save(tmp_path / "ours.safetensors", kohya(unet))
    assert_same(found, weights(checkpoint, LoraSpec(ours)))


def test_matrices_may_stand_for_convolutions_of_one_pixel(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], tmp_path: Path
) -> None:
    (key, pair), *_ = ((k, p) for k, p in lora.items() if p.down.shape[2:] == (1, 1))
    flat = Pair(pair.down.flatten(1), pair.up.flatten(1))
    files = [
        save(tmp_path / f"{i}.safetensors", kohya({key: form}))
        for i, form in enumerate([pair, flat])
    ]
    assert_same(*(weights(tiny_checkpoint, LoraSpec(file)) for file in files))


def test_several_add_up_and_the_opposite_takes_one_away(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], kohya_file: Path, tmp_path: Path
) -> None:
    plain = weights(tiny_checkpoint)
    there_and_back = weights(tiny_checkpoint, LoraSpec(kohya_file, 0.5), LoraSpec(kohya_file, -0.5))
    twice = weights(tiny_checkpoint, LoraSpec(kohya_file, 0.25), LoraSpec(kohya_file, 0.5))
    once = weights(tiny_checkpoint, LoraSpec(kohya_file, 0.75))
    for key, weight in plain.items():
        torch.testing.assert_close(there_and_back[key], weight, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(twice[key], once[key], atol=1e-6, rtol=1e-5)


def test_pefts_alphas_are_read_layer_by_layer(
    tiny_checkpoint: RandomCheckpoint, lora: dict[Key, Pair], tmp_path: Path
) -> None:
    """`rank` is 4, so that the root is 2."""
    unet = of_part(lora, "unet")
    path = next(path for _, path in unet if path.endswith("to_q"))
    asked = save_peft(tmp_path / "a", unet, alpha_pattern={path: 12.0}, use_rslora=True)
    plain, found = weights(tiny_checkpoint), weights(tiny_checkpoint, LoraSpec(asked))
    for (_, name), pair in unet.items():
        product = torch.einsum("or...,ri...->oi...", pair.up, pair.down)
        key = ("unet", f"{name}.weight")
        factor = (12.0 if name == path else ALPHA) / math.sqrt(RANK)
        torch.testing.assert_close(found[key], plain[key] + factor * product)
    bad = save_peft(tmp_path / "b", unet, alpha_pattern={"(a+)+": 12.0})
    with pytest.raises(UnsupportedError, match=r"alpha_pattern has the expression '\(a\+\)\+'"):
        weights(tiny_checkpoint, LoraSpec(bad))
    bad = save_peft(tmp_path / "c", unet, lora_alpha="much")
    with pytest.raises(ArtifactError, match="lora_alpha is 'much'; expected a finite number"):
        weights(tiny_checkpoint, LoraSpec(bad))


def test_it_stays_with_a_checkpoint_whose_settings_change(
    tiny_checkpoint: RandomCheckpoint, kohya_file: Path
) -> None:
    """As export changes them, once the weights have shown what they predict."""
    both = with_loras(tiny_checkpoint, [LoraSpec(kohya_file)])
    later = replace(both.with_scheduler(prediction_type="epsilon"), name="other")
    assert later.adapters == both.adapters
    assert later.source.loras == both.source.loras
