"""The embedded model's training: tokenizer, drawing, rates, and its weights read back."""

from pathlib import Path

import numpy as np
import pytest
import torch

from demo_model.restore import restore
from demo_model.tokenizer import build_tokenizer
from demo_model.training import cosine_rate, draw_pictures
from sdrt.arrays import snr_db
from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.diagnostics.verify import seeded_feeds
from sdrt_export.graphs.networks import networks
from sdrt_export.sources.diffusers_folder import FolderCheckpoint


def test_every_word_of_the_captions_is_one_token_and_unknown_ones_fall_apart(
    tmp_path: Path,
) -> None:
    tokenizer = build_tokenizer(tmp_path, captions=3000)
    assert tokenizer.tokenize("a red boat at sunset") == [
        *("a</w>", "red</w>", "boat</w>", "at</w>", "sunset</w>")
    ]
    assert len(tokenizer.tokenize("zyxwv")) > 1
    ids = tokenizer("a red boat").input_ids
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert "tokenizer.json" in {path.name for path in tmp_path.iterdir()}


def test_drawing_in_parallel_is_reproducible() -> None:
    pictures, drawn = draw_pictures(500, seed=3)
    again, _ = draw_pictures(500, seed=3)
    assert pictures.shape == (500, 128, 128, 3)
    assert len(drawn) == 500
    np.testing.assert_array_equal(pictures, again)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.01), (99, 1.0), (1000, 0.02), (5000, 0.02)])
def test_the_learning_rate_rises_and_falls(step: int, expected: float) -> None:
    assert cosine_rate(step, 1000, peak=1.0, warmup=100) == pytest.approx(expected, rel=0.03)


def test_the_embedded_model_is_read_back_into_torch(demo: Artifact, tmp_path: Path) -> None:
    """The folder that training goes on from computes what the artifact computes."""
    restore(demo, tmp_path)
    checkpoint = FolderCheckpoint.open(tmp_path)
    assert checkpoint.latent.scale == demo.manifest.latent.scale
    backend = open_backend("onnxruntime")
    for network in networks(checkpoint):
        feeds = seeded_feeds(demo, network.name)
        output = demo.manifest.graphs[network.name].outputs[0].name
        found = backend.open(demo.network(network.name, backend.formats)).run(feeds)[output]
        with torch.no_grad():
            expected = network.module(**{n: torch.from_numpy(a) for n, a in feeds.items()})
        expected = expected[0] if isinstance(expected, tuple) else expected
        assert snr_db(expected.numpy(), found) > 100
