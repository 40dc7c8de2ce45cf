"""Textual inversion: new words with trained vectors (Gal et al. 2022, arXiv 2208.01618).

A word stands for one or more vectors of each text encoder. They are appended to the encoder's table
of tokens when it is opened; in prompts the word then becomes their ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdrt.adapters.lora_loading import check_exporter
from sdrt.arrays import Array, Floats
from sdrt.artifact.artifact import Artifact
from sdrt.artifact.detect import describe
from sdrt.backends.backend import Backend
from sdrt.backends.graph import WeightPatches
from sdrt.backends.weight_patches import is_token_table
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.files.checksums import sha256
from sdrt.files.safetensors import open_tensors

A1111 = "emb_params"
ENCODERS = {
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "text_encoders_0": "text_encoder",
    "text_encoders_1": "text_encoder_2",
}
"""Names of tensors in files for Stable Diffusion XL, by most tools and by early diffusers."""
ANY = ""
"""Stands for an encoder's name where a file names none."""
WIDTHS = {
    768: "Stable Diffusion 1, or the first encoder of XL",
    1024: "Stable Diffusion 2",
    1280: "the second encoder of Stable Diffusion XL",
}
SPECIAL = "()[]\\\n"  # characters of the syntax of prompts


@dataclass(frozen=True)
class TextualInversion:
    """A file's word and its vectors."""

    word: str
    vectors: Mapping[str, Floats]
    """Vectors (count, width) by the text encoder that they are for, or by `ANY`."""
    file: str
    sha256: str

    @classmethod
    def read(cls, text: str) -> "TextualInversion":
        """Read `FILE[:WORD]`, a .safetensors file in the form of A1111's web UI or of diffusers.

        The word is WORD, else the name of the file's tensor, else the file's name.
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
        """Its entry in the parameters of a picture."""
        return {"word": self.word, "file": self.file, "sha256": self.sha256}


@dataclass(frozen=True)
class TokenTable:
    """A text encoder's table of tokens."""

    layer: str
    """The name of the layer."""
    count: int
    """How many vectors it has, which is the id of the next one."""
    width: int
    """The width of its vectors."""
    chunk: int
    """How many tokens of a prompt fit into one chunk."""


@dataclass(frozen=True)
class TextualInversions:
    """Files that fit a model, with the vectors of each word for each of its text encoders."""

    files: tuple[TextualInversion, ...] = ()
    tables: Mapping[str, TokenTable] = field(default_factory=dict)
    """Tables of tokens by the encoders' graphs."""
    words: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    """Vectors of each word, in lower case, by the encoders' graphs."""

    @classmethod
    def open(
        cls, artifact: Artifact, backend: Backend, texts: Sequence[str]
    ) -> "TextualInversions":
        """Read files, each `FILE[:WORD]`, and check them against a model's text encoders.

        Raises `ArtifactError`, `UnsupportedError` or `UsageError`.
        """
        if not texts:
            return cls()
        check_exporter(artifact, "embeddings")
        files = tuple(TextualInversion.read(text) for text in texts)
        tables = _tables(artifact, backend)
        words: dict[str, dict[str, Floats]] = {}
        for file in files:
            known = words.setdefault(file.word.casefold(), {})
            for graph, vectors in _vectors_for(file, tables).items():
                if graph in known:
                    raise UsageError(
                        f"two embeddings have the word {file.word!r}; name one: FILE:WORD"
                    )
                known[graph] = vectors
        for word, vectors_by_graph in words.items():
            _check_counts(word, vectors_by_graph, tables)
        return cls(files, tables, words)

    def ids(self, graph: str) -> Mapping[str, tuple[int, ...]]:
        """The token ids that each word becomes for a text encoder."""
        ids: dict[str, tuple[int, ...]] = {}
        begin = self.tables[graph].count if self.words else 0
        for word, vectors in self.words.items():
            end = begin + len(vectors[graph])
            ids[word], begin = tuple(range(begin, end)), end
        return ids

    def weight_patches(self, graph: str) -> WeightPatches:
        """The patch that appends the vectors to a text encoder's table; none for other graphs."""
        if graph not in self.tables:
            return {}
        rows = [vectors[graph] for vectors in self.words.values()]

        def extend(table: Array) -> Array:
            return np.concatenate([table, *rows])

        return {self.tables[graph].layer: extend}


def _vectors(path: Path, name: str, array: Array) -> Floats:
    vectors = np.atleast_2d(array.astype(np.float32))
    if vectors.ndim != 2 or not vectors.size:
        raise ArtifactError(f"{path}: {name} has the shape {array.shape}; expected vectors")
    if not np.isfinite(vectors).all():
        raise ArtifactError(f"{path}: {name} has values that are not finite")
    return vectors


def _tables(artifact: Artifact, backend: Backend) -> dict[str, TokenTable]:
    tables = {}
    for encoder in artifact.manifest.text_encoders:
        layers = backend.layers(artifact.network(encoder.graph, backend.formats))
        layer = next(filter(is_token_table, layers), None)
        if layer is None:
            raise UnsupportedError(
                f"{artifact.root} has no table of tokens in its {encoder.graph} that could grow; "
                "export the model again, in fp32 or bf16"
            )
        count, width = layers[layer]
        tables[encoder.graph] = TokenTable(layer, count, width, encoder.length - 2)
    return tables


def _vectors_for(file: TextualInversion, tables: Mapping[str, TokenTable]) -> dict[str, Floats]:
    """A file's vectors by the model's text encoder; raises `UsageError` for those that fit none.

    A file for both encoders of XL also fits its refiner, which has only the second.
    """
    placed: dict[str, Floats] = {}
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
        table, model = tables[graph], WIDTHS.get(width)
        if width != table.width:
            raise UsageError(
                f"{file.file} does not belong to this model: its vectors have {width} numbers, "
                f"the text encoder's {table.width}; "
                + (f"it is for {model}" if model else "give another")
            )
        if count > table.chunk:
            raise UsageError(
                f"{file.file} has {count} vectors; a chunk of a prompt has room for {table.chunk}"
            )
        placed[graph] = vectors
    return placed


def _check_counts(
    word: str, vectors: Mapping[str, Floats], tables: Mapping[str, TokenTable]
) -> None:
    """Raise `UsageError` unless a word has equally many vectors for each text encoder."""
    counts = {graph: len(vectors.get(graph, ())) for graph in tables}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        listed = ", ".join(f"{count} for {graph}" for graph, count in counts.items())
        raise UsageError(
            f"the embedding {word!r} has not as many vectors for each text encoder ({listed}); "
            "expected clip_l and clip_g in one file, or a file for each encoder with one word: "
            "FILE:WORD"
        )
