"""Textual inversion: words with vectors of their own (Gal et al. 2022, arXiv 2208.01618).

A word stands for one vector or several. They are put behind those of the vocabulary in the text
encoder's table when it is opened; in prompts the word then gives their ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sdrt.artifact import Artifact
from sdrt.backends import Array, Backend, Changes
from sdrt.backends.changes import TOKENS
from sdrt.errors import ArtifactError, UnsupportedError, UsageError
from sdrt.foreign import describe
from sdrt.integrity import sha256
from sdrt.lora.fitting import check_family
from sdrt.tensor_file import open_tensors

Vectors = npt.NDArray[np.float32]

A1111 = "emb_params"
OTHER_MODELS = ("clip_l", "clip_g")
WIDTHS = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 1280: "Stable Diffusion XL"}
SPECIAL = "()[]\\\n"  # have a meaning of their own in prompts


@dataclass(frozen=True)
class Inversion:
    """A word and what it stands for."""

    word: str
    vectors: Vectors
    """(count, width)."""
    file: str
    sha256: str

    @classmethod
    def read(cls, text: str) -> "Inversion":
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
        if set(OTHER_MODELS) & set(file.shapes):
            raise UnsupportedError(
                f"{path} is an embedding for two text encoders, as Stable Diffusion XL has them; "
                "sdrt takes those of Stable Diffusion 1 and 2"
            )
        if len(file.shapes) != 1:
            raise ArtifactError(
                f"{path} holds {len(file.shapes)} tensors ({', '.join(sorted(file.shapes)[:8])}); "
                "expected one, with the vectors of one word"
            )
        ((name, array),) = file.read(file.shapes).items()
        vectors = np.atleast_2d(array.astype(np.float32))
        if vectors.ndim != 2 or not vectors.size:
            raise ArtifactError(f"{path}: {name} has the shape {array.shape}; expected vectors")
        if not np.isfinite(vectors).all():
            raise ArtifactError(f"{path}: {name} has values that are not finite")
        word = word or (path.stem if name == A1111 else name)
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
class Inversions:
    """Words that fit a model, and the first id that is free."""

    words: tuple[Inversion, ...] = ()
    first_id: int = 0

    @classmethod
    def open(cls, artifact: Artifact, backend: Backend, texts: Sequence[str]) -> "Inversions":
        """Read files, each `FILE[:WORD]`, and check them with a model's text encoder.

        Raises `ArtifactError`, `UnsupportedError` or `UsageError`.
        """
        if not texts:
            return cls()
        check_family(artifact, "embeddings")
        words = tuple(Inversion.read(text) for text in texts)
        encoder = artifact.manifest.text_encoders[0]
        table = backend.layers(artifact.network(encoder.graph, backend.formats)).get(TOKENS)
        if table is None:
            raise UnsupportedError(
                f"{artifact.root} has no table of tokens in its {encoder.graph} that could grow; "
                "export the model again, in fp32 or bf16"
            )
        for one in words:
            count, width = one.vectors.shape
            if width != table[1]:
                whose = WIDTHS.get(width)
                raise UsageError(
                    f"{one.file} does not belong to this model: its vectors have {width} numbers, "
                    f"the text encoder's {table[1]}; "
                    + (f"it is one of {whose}" if whose else "give another")
                )
            if count > encoder.length - 2:
                raise UsageError(
                    f"{one.file} has {count} vectors; a chunk of a prompt has room for "
                    f"{encoder.length - 2}"
                )
        spelled = [one.word.casefold() for one in words]
        if double := next((one for one in spelled if spelled.count(one) > 1), None):
            raise UsageError(f"two embeddings have the word {double!r}; name one: FILE:WORD")
        return cls(words, table[0])

    @property
    def ids(self) -> Mapping[str, tuple[int, ...]]:
        """What each word becomes."""
        found, begin = {}, self.first_id
        for one in self.words:
            end = begin + len(one.vectors)
            found[one.word], begin = tuple(range(begin, end)), end
        return found

    @property
    def changes(self) -> Changes:
        """How the text encoder's weights change."""
        return {TOKENS: self._grown} if self.words else {}

    def _grown(self, table: Array) -> Array:
        return np.concatenate([table, *(one.vectors for one in self.words)])
