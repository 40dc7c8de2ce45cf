"""What a row's pictures depend on, as one hash: rows of the same key are the same pictures."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sdrt.artifact.artifact import open_artifact
from sdrt.batch.rows import FILES, Row
from sdrt.files.checksums import sha256


@dataclass
class Keys:
    """Hashes of rows; each model and each file is read once."""

    engine: Mapping[str, object]
    """What the pictures' bits depend on besides the rows: backend, device, precision."""
    default_model: str | None = None
    """The model of rows that name none."""
    _models: dict[str | None, str] = field(default_factory=dict)
    _files: dict[Path, str] = field(default_factory=dict)

    def of(self, row: Row) -> str:
        """The hash of a row: of its model, its options, and the contents of its files.

        Raises `ArtifactError` for a model that is none.
        """
        options = {
            name: self._file(Path(str(value))) if name in FILES else value
            for name, value in row.options.items()
        }
        record = {
            "model": self._model(row.model),
            "refiner": self._model(row.refiner) if row.refiner else None,
            "refiner_start": row.refiner_start,
            "prompt": row.prompt,
            "options": options,
            "loras": [self._adapter(text) for text in row.loras],
            "embeddings": [self._adapter(text) for text in row.embeddings],
            "engine": dict(self.engine),
        }
        text = json.dumps(record, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _model(self, named: str | None) -> str:
        where = named or self.default_model
        if where not in self._models:
            self._models[where] = open_artifact(where).hash
        return self._models[where]

    def _file(self, path: Path) -> str:
        if path not in self._files:
            self._files[path] = sha256(path)
        return self._files[path]

    def _adapter(self, text: str) -> tuple[str, str]:
        """The hash of an adapter's file, and what follows the file's name."""
        path, rest = Path(text), ""
        if not path.is_file():
            name, _, rest = text.rpartition(":")
            path = Path(name)
        return self._file(path), rest
