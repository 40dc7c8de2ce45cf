"""Text -> token ids, with the tokenizer that export put into the artifact."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from sdrt.errors import ArtifactError

TokenIds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """Ids for the text encoder, (1, length), and the end of the text that found no room."""

    ids: TokenIds
    dropped: str


class Tokenizer:
    """A CLIP tokenizer: start token, text, end token, padding, `length` in all."""

    def __init__(self, folder: Path, length: int) -> None:
        path = folder / "tokenizer.json"
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust side raises bare Exception
            raise ArtifactError(
                f"{path} cannot be read: {error}; export the model again"
            ) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        special = _special_tokens(folder / "tokenizer_config.json")
        self._start, self._end, self._padding = (
            self._id(special, kind) for kind in ("bos_token", "eos_token", "pad_token")
        )
        self._length = length

    def encode(self, text: str) -> Tokens:
        """Turn a text into ids; what is too long is cut off and reported."""
        room = self._length - 2
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        ids = [self._start, *encoding.ids[:room], self._end]
        ids += [self._padding] * (self._length - len(ids))
        kept_until = encoding.offsets[room - 1][1] if len(encoding.ids) > room else len(text)
        return Tokens(np.array([ids], np.int64), text[kept_until:].strip())

    def _id(self, special: dict[str, str], kind: str) -> int:
        found = self._tokenizer.token_to_id(special.get(kind, ""))
        if found is None:
            raise ArtifactError(
                f"the tokenizer has no {kind} ({special.get(kind)!r}); export the model again"
            )
        return int(found)


def _special_tokens(path: Path) -> dict[str, str]:
    """Special tokens by kind; older files give each as an object with its text inside."""
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}; export the model again") from error
    return {
        kind: value["content"] if isinstance(value, dict) else value
        for kind, value in config.items()
        if kind.endswith("_token") and value
    }
