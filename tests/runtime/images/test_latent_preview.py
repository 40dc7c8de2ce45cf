"""A preview shows in rough colours what the decoder would paint."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import sdrt
from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.errors import UnsupportedError
from sdrt.images.latent_preview import fit_preview
from sdrt.images.png import to_image
from sdrt.manifest import Latent, Preview
from sdrt.pipeline import Pipeline
from sdrt_bench.similarity import psnr_db

IDENTITY = Preview(matrix=((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)), bias=(0, 0, 0))


def with_latent(artifact: Artifact, **changes: Any) -> Artifact:
    manifest = artifact.manifest
    latent = manifest.latent.model_copy(update=changes)
    return Artifact(artifact.root, manifest.model_copy(update={"latent": latent}))


def small(image: Any) -> np.ndarray:
    """An image averaged over 8x8 pixels, in -1..1."""
    return np.asarray(image.reduce(8), np.float64) / 127.5 - 1


@pytest.mark.slow
def test_previews_of_the_embedded_model_show_what_it_paints() -> None:
    pipe = sdrt.load(backend="openvino")
    shown, painted, flat = [], [], []
    for prompt in ("a red boat on the sea at sunset", "a white cat on the grass at noon"):
        for step in pipe.start(prompt, seed=7, num_inference_steps=6):
            if step.index > 0:
                (preview,) = pipe.preview(step.denoised)
                (decoded,) = pipe.decode(step.denoised)
                assert preview.size == (128, 128)
                shown.append(small(preview))
                painted.append(small(to_image(decoded)))
                flat.append(np.full_like(painted[-1], painted[-1].mean()))
    found, expected = np.stack(shown), np.stack(painted)
    assert psnr_db(expected, found, 2) > 17
    assert psnr_db(expected, found, 2) > psnr_db(expected, np.stack(flat), 2) + 6
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9


def test_a_preview_needs_no_network(demo: Artifact) -> None:
    pipe = Pipeline(demo, open_backend("onnxruntime"))
    images = pipe.preview(np.zeros((3, 4, 16, 24), np.float32))
    assert [image.size for image in images] == [(192, 128)] * 3
    assert pipe.loaded == set()


def test_a_model_without_a_map_gets_it_from_its_decoder(demo: Artifact) -> None:
    latents = np.random.default_rng(1).standard_normal((1, 4, 8, 8), np.float32)
    pipe = Pipeline(with_latent(demo, preview=None), open_backend("openvino"), keep={"unet"})
    (fitted,) = pipe.preview(latents)
    assert pipe.loaded == set()  # the decoder was not to be kept
    (stored,) = Pipeline(demo, open_backend("openvino")).preview(latents)
    assert np.abs(np.asarray(fitted, np.int16) - np.asarray(stored, np.int16)).max() <= 2


def test_a_fit_finds_a_map_that_is_one() -> None:
    latent = Latent(channels=4, downscale=8, scale=1.0)
    rng = np.random.default_rng(0)
    matrix, bias = rng.uniform(-0.05, 0.05, (4, 3)), rng.uniform(-0.5, 0.5, 3)

    def decode(latents: Any) -> Any:
        colours = np.einsum("nchw,cd->ndhw", latents, matrix) + bias[:, None, None]
        return colours.repeat(8, axis=2).repeat(8, axis=3)

    preview = fit_preview(latent, decode)
    np.testing.assert_allclose(preview.matrix, matrix, atol=1e-4)
    np.testing.assert_allclose(preview.bias, bias, atol=1e-4)


def test_colours_and_places_are_kept(demo: Artifact) -> None:
    pipe = Pipeline(with_latent(demo, preview=IDENTITY), open_backend("onnxruntime"))
    latents = np.full((1, 4, 8, 8), -1, np.float32)
    latents[0, 0, :4, 4:] = 1  # red at the top right
    (image,) = pipe.preview(latents)
    assert image.getpixel((56, 8)) == (255, 0, 0)
    for dark in ((8, 8), (8, 56), (56, 56)):
        assert image.getpixel(dark) == (0, 0, 0)


def test_latents_of_sixteen_channels_have_no_preview(demo: Artifact) -> None:
    pipe = Pipeline(with_latent(demo, channels=16, preview=None), open_backend("onnxruntime"))
    with pytest.raises(UnsupportedError, match="have 16 channels; .* need 4"):
        pipe.preview(np.zeros((1, 16, 8, 8), np.float32))


def test_a_map_for_other_latents_is_refused() -> None:
    with pytest.raises(ValidationError, match="preview has 4 rows, expected 16"):
        Latent(channels=16, downscale=8, scale=1.0, preview=IDENTITY)
