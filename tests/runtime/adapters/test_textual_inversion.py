"""Words with vectors of their own stand in prompts for what their vectors say."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from click.testing import CliRunner

import sdrt
from sdrt.adapters.textual_inversion import ANY, TextualInversion
from sdrt.artifact import Artifact
from sdrt.cli.generate import generate
from sdrt.errors import ArtifactError, SdrtError, UsageError
from sdrt.files.checksums import sha256
from sdrt.files.safetensors import widened
from sdrt.images.metadata import read_png
from sdrt.pipeline import Pipeline
from tests.runtime.adapters.lora_files import Tensors, save

ENGINES = ("onnxruntime", "openvino")
WIDTH = 16  # of the tiny model


def ones(*shape: int) -> npt.NDArray[np.float32]:
    return np.ones(shape, np.float32)


GOOD: Tensors = {"emb_params": ones(2, WIDTH)}


def vectors_of_tokens(root: Path) -> npt.NDArray[np.float32]:
    """All tokens' vectors, as a text encoder stores them."""
    name = "embeddings.token_embedding.weight"
    graph = onnx.load(root / "text_encoder" / "model.onnx").graph
    (table,) = (tensor for tensor in graph.initializer if name in tensor.name)
    if table.data_type == onnx.TensorProto.BFLOAT16:
        return widened(np.frombuffer(table.raw_data, np.uint16)).reshape(table.dims)
    return np.frombuffer(table.raw_data, np.float32).reshape(table.dims)


@pytest.fixture
def plain(tiny: Artifact) -> Pipeline:
    return sdrt.load(tiny.root, "onnxruntime")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_word_is_what_its_vectors_are(
    tiny_exports: dict[str, Path], tmp_path: Path, precision: str, engine: str
) -> None:
    """Given the vectors of another word's tokens, it means the same."""
    pipe = sdrt.load(tiny_exports[precision], engine, precision="fp32")
    ids = pipe.tokens("harbour").ids[0]
    inner = ids[1 : list(ids).index(ids[-1])]
    assert len(inner) > 1
    vectors = vectors_of_tokens(tiny_exports[precision])[inner]
    file = save(tmp_path / "quay.safetensors", {"emb_params": vectors})
    expected, other = pipe.encode("a (harbour:1.2) at dawn"), pipe.encode("a (quay:1.2) at dawn")
    pipe.use_embeddings(str(file))
    found = pipe.encode("a (quay:1.2) at dawn")
    assert np.array_equal(found, expected)
    assert not np.allclose(found, other, atol=0.01)
    assert np.array_equal(pipe.encode("a (harbour:1.2) at dawn"), expected)
    pipe.use_embeddings()
    assert np.array_equal(pipe.encode("a (quay:1.2) at dawn"), other)


def test_the_word_is_the_callers_or_the_files(tmp_path: Path) -> None:
    web, diffusers = tmp_path / "ink-style.safetensors", tmp_path / "b.safetensors"
    save(web, GOOD)
    save(diffusers, {"<ink>": ones(WIDTH)})
    assert [
        TextualInversion.read(text).word for text in (str(web), f"{web}:ink", str(diffusers))
    ] == [
        "ink-style",
        "ink",
        "<ink>",
    ]
    assert TextualInversion.read(str(web)).vectors[ANY].shape == (2, WIDTH)
    assert TextualInversion.read(str(diffusers)).vectors[ANY].shape == (1, WIDTH)


def test_it_is_found_whole_in_any_case_and_the_longest_first(
    plain: Pipeline, tmp_path: Path
) -> None:
    file = save(tmp_path / "a.safetensors", GOOD)
    plain.use_embeddings(f"{file}:ink", f"{file}:ink two", f"{file}:<i>")
    first = int(plain.tokens("ink").ids[0, 1])

    def ids(text: str) -> list[int]:
        return [int(token) - first for token in plain.tokens(text).ids[0] if token >= first]

    assert ids("ink") == ids("an INK,") == ids("(ink:1.3)") == [0, 1]
    assert ids("ink two") == [2, 3]
    assert ids("ink, two ink") == [0, 1, 0, 1]
    assert ids("a<I>b") == [4, 5]
    assert ids("inky pink") == []


def test_vectors_of_a_word_stay_in_one_chunk(plain: Pipeline, tmp_path: Path) -> None:
    """A chunk has room for 75."""
    count, room = 5, 75
    file = save(tmp_path / "ink.safetensors", {"emb_params": ones(count, WIDTH)})
    plain.use_embeddings(str(file))
    letters = " ".join("a" * (room - count))
    one_chunk = plain.tokens(f"{letters} ink")
    assert one_chunk.ids.shape == (1, 77)
    two_chunks = plain.tokens(f"{letters} a (ink:2)")
    assert two_chunks.ids.shape == (2, 77)
    first = one_chunk.ids[0, 1 + room - count]
    assert two_chunks.ids[1, 1 : 2 + count].tolist() == [
        *range(first, first + count),
        two_chunks.ids[0, -1],
    ]
    assert two_chunks.weights[1].tolist() == [1.0, *[2.0] * count, *[1.0] * (76 - count)]


@pytest.mark.parametrize(
    ("tensors", "asked", "error", "message"),
    [
        ({"emb_params": ones(2, 17)}, "", UsageError,
         "its vectors have 17 numbers, the text encoder's 16; give another"),
        ({"emb_params": ones(2, 768)}, "", UsageError, "it is for Stable Diffusion 1"),
        ({"emb_params": ones(76, WIDTH)}, "", UsageError, "has 76 vectors; .* room for 75"),
        ({"emb_params": ones(2, 2, WIDTH)}, "", ArtifactError, "expected vectors"),
        ({"emb_params": ones(0, WIDTH)}, "", ArtifactError, "expected vectors"),
        ({"emb_params": np.full((1, WIDTH), np.nan, np.float32)}, "", ArtifactError, "not finite"),
        (GOOD | {"a": ones(1)}, "", ArtifactError, r"holds 2 tensors \(a, emb_params\)"),
        ({"clip_l": ones(1, WIDTH), "text_encoders_0": ones(1, WIDTH)}, "",
         ArtifactError, "holds 2 tensors .* expected one, or clip_l and clip_g"),
        ({"clip_l": ones(1, 768), "clip_g": ones(1, 1280)}, "", UsageError,
         "does not belong to this model: it is for two text encoders"),
        (GOOD, ":(ink)", UsageError, "could not be written in a prompt; name another one"),
        (GOOD, ": ", UsageError, "could not be written in a prompt"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_word_is_said(
    plain: Pipeline,
    tmp_path: Path,
    tensors: Tensors,
    asked: str,
    error: type[SdrtError],
    message: str,
) -> None:
    file = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(error, match=message):
        plain.use_embeddings(f"{file}{asked}")


def test_one_word_has_one_meaning(plain: Pipeline, tmp_path: Path) -> None:
    file = save(tmp_path / "a.safetensors", GOOD)
    with pytest.raises(UsageError, match="two embeddings have the word 'ink'"):
        plain.use_embeddings(f"{file}:Ink", f"{file}:ink")
    with pytest.raises(ArtifactError, match="is nothing: the path does not exist"):
        plain.use_embeddings(str(tmp_path / "none.safetensors"))


def test_a_picture_says_which_words_were_known(tiny: Artifact, tmp_path: Path) -> None:
    file, path = save(tmp_path / "ink.safetensors", GOOD), tmp_path / "a.png"
    options = ["a boat, ink", "-m", str(tiny.root), "-o", str(path), "--steps", "2", "--json"]
    done = CliRunner().invoke(generate, [*options, "--embedding", f"{file}:ink"])
    record = {"word": "ink", "file": "ink.safetensors", "sha256": sha256(file)}
    assert json.loads(done.stdout)["images"][0]["textual_inversions"] == [record]
    assert read_png(path)["sdrt"]["textual_inversions"] == [record]
