"""Textual inversion: words with vectors of their own (Gal et al. 2022, arXiv 2208.01618).

A word stands for one vector or several, of each text encoder. They are put behind those of the
vocabulary in an encoder's table when it is opened; in prompts the word then gives their ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sdrt.adapters.lora_loading import check_exporter
from sdrt.arrays import Array
from sdrt.artifact.artifact import Artifact
from sdrt.artifact.detect import describe
from sdrt.backends.backend import Backend
from sdrt.backends.graph import Changes
from sdrt.backends.weight_patches import is_table
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.files.checksums import sha256
from sdrt.files.safetensors import open_tensors

Vectors = npt.NDArray[np.float32]

A1111 = "emb_params"
ENCODERS = {
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "text_encoders_0": "text_encoder",
    "text_encoders_1": "text_encoder_2",
}
"""Tensors of files for Stable Diffusion XL, as most tools write them, and diffusers at first."""
ANY = ""
"""In place of an encoder's name, where a file names none."""
WIDTHS = {
    768: "Stable Diffusion 1, or the first encoder of XL",
    1024: "Stable Diffusion 2",
    1280: "the second encoder of Stable Diffusion XL",
}
SPECIAL = "()[]\\\n"  # have a meaning of their own in prompts


@dataclass(frozen=True)
class TextualInversion:
    """A file: a word, and what it stands for."""

    word: str
    vectors: Mapping[str, Vectors]
    """(count, width), by the text encoder that they are for, or `ANY`."""
    file: str
    sha256: str

    @classmethod
    def read(cls, text: str) -> "TextualInversion":
        """Read `FILE[:WORD]`: as AUTOMATIC1111's web UI writes it, or diffusers, as .safetensors.

        The word is what was asked for, else what the file says, else the file's name.
        """
        path, word = Path(text), ""
        if not path.is_file() and ":" in text:
            before, _, word = text.rpartition(":")
            path = Path(before)
        if path.suffix.lower() != ".safetensors" or not path.is_file():
            raise ArtifactError(
                f"{path} is {describe(path)}; expected an embedding as a .safetensors file"
            )
        file = open_tensors(path)
        names = sorted(file.shapes)
        encoders = [ENCODERS.get(name, ANY) for name in names]
        if len(names) != 1 and (not names or ANY in encoders or len(set(encoders)) < len(names)):
            raise ArtifactError(
                f"{path} holds {len(names)} tensors ({', '.join(names[:8])}); expected one, or "
                "clip_l and clip_g, with the vectors of one word"
            )
        arrays = file.read(names)
        vectors = {
            encoder: _vectors(path, name, arrays[name])
            for encoder, name in zip(encoders, names, strict=True)
        }
        word = word or (path.stem if names[0] in (A1111, *ENCODERS) else names[0])
        if not word.strip() or set(word) & set(SPECIAL):
            raise UsageError(
                f"the word {word!r} of {path} could not be written in a prompt; name another "
                f"one: {path}:WORD"
            )
        return cls(word, vectors, path.name, sha256(path))

    @property
    def record(self) -> dict[str, str]:
        """What is written beside a picture."""
        return {"word": self.word, "file": self.file, "sha256": self.sha256}


@dataclass(frozen=True)
class Table:
    """What a text encoder has for the vocabulary."""

    layer: str
    count: int
    """Of vectors; the next one's id."""
    width: int
    room: int
    """Of tokens in a chunk of a prompt."""


@dataclass(frozen=True)
class TextualInversions:
    """Files that fit a model, with the vectors of each word for each of its text encoders."""

    files: tuple[TextualInversion, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    """By the encoders' graphs."""
    words: Mapping[str, Mapping[str, Vectors]] = field(default_factory=dict)

    @classmethod
    def open(
        cls, artifact: Artifact, backend: Backend, texts: Sequence[str]
    ) -> "TextualInversions":
        """Read files, each `FILE[:WORD]`, and check them with a model's text encoders.

        Raises `ArtifactError`, `UnsupportedError` or `UsageError`.
        """
        if not texts:
            return cls()
        check_exporter(artifact, "embeddings")
        files = tuple(TextualInversion.read(text) for text in texts)
        tables = _tables(artifact, backend)
        words: dict[str, dict[str, Vectors]] = {}
        for file in files:
            known = words.setdefault(file.word.casefold(), {})
            for graph, vectors in _placed(file, tables).items():
                if graph in known:
                    raise UsageError(
                        f"two embeddings have the word {file.word!r}; name one: FILE:WORD"
                    )
                known[graph] = vectors
        for word, those in words.items():
            _check_whole(word, those, tables)
        return cls(files, tables, words)

    def ids(self, graph: str) -> Mapping[str, tuple[int, ...]]:
        """What each word becomes for a text encoder."""
        found: dict[str, tuple[int, ...]] = {}
        begin = self.tables[graph].count if self.words else 0
        for word, vectors in self.words.items():
            end = begin + len(vectors[graph])
            found[word], begin = tuple(range(begin, end)), end
        return found

    def changes(self, graph: str) -> Changes:
        """How a network's weights change."""
        if graph not in self.tables:
            return {}
        added = [vectors[graph] for vectors in self.words.values()]

        def grown(table: Array) -> Array:
            return np.concatenate([table, *added])

        return {self.tables[graph].layer: grown}


def _vectors(path: Path, name: str, array: Array) -> Vectors:
    vectors = np.atleast_2d(array.astype(np.float32))
    if vectors.ndim != 2 or not vectors.size:
        raise ArtifactError(f"{path}: {name} has the shape {array.shape}; expected vectors")
    if not np.isfinite(vectors).all():
        raise ArtifactError(f"{path}: {name} has values that are not finite")
    return vectors


def _tables(artifact: Artifact, backend: Backend) -> dict[str, Table]:
    tables = {}
    for encoder in artifact.manifest.text_encoders:
        layers = backend.layers(artifact.network(encoder.graph, backend.formats))
        layer = next(filter(is_table, layers), None)
        if layer is None:
            raise UnsupportedError(
                f"{artifact.root} has no table of tokens in its {encoder.graph} that could grow; "
                "export the model again, in fp32 or bf16"
            )
        count, width = layers[layer]
        tables[encoder.graph] = Table(layer, count, width, encoder.length - 2)
    return tables


def _placed(file: TextualInversion, tables: Mapping[str, Table]) -> dict[str, Vectors]:
    """Vectors by the model's text encoder; raises `UsageError` for those that fit none.

    A file for both encoders of XL does for its refiner too, which has the second only.
    """
    placed: dict[str, Vectors] = {}
    for name, vectors in file.vectors.items():
        count, width = vectors.shape
        if name == "text_encoder_2" and name not in tables:
            raise UsageError(
                f"{file.file} does not belong to this model: it is for two text encoders, as "
                "Stable Diffusion XL has them"
            )
        fitting = [graph for graph, table in tables.items() if table.width == width]
        graph = next(iter(fitting or tables)) if name == ANY else name
        if graph not in tables:
            continue
        table, whose = tables[graph], WIDTHS.get(width)
        if width != table.width:
            raise UsageError(
                f"{file.file} does not belong to this model: its vectors have {width} numbers, "
                f"the text encoder's {table.width}; "
                + (f"it is for {whose}" if whose else "give another")
            )
        if count > table.room:
            raise UsageError(
                f"{file.file} has {count} vectors; a chunk of a prompt has room for {table.room}"
            )
        placed[graph] = vectors
    return placed


def _check_whole(word: str, vectors: Mapping[str, Vectors], tables: Mapping[str, Table]) -> None:
    """Raise `UsageError` unless a word has as many vectors for each text encoder."""
    counts = {graph: len(vectors.get(graph, ())) for graph in tables}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        found = ", ".join(f"{count} for {graph}" for graph, count in counts.items())
        raise UsageError(
            f"the embedding {word!r} has not as many vectors for each text encoder ({found}); "
            "expected clip_l and clip_g in one file, or a file for each encoder with one word: "
            "FILE:WORD"
        )
