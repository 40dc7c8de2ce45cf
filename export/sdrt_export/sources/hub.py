"""Models of the Hugging Face hub: named by id and revision, downloaded as real files, all checked.

A revision's list of files with their hashes is kept next to them, so that a model that was fetched
once can be found and checked without a network.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sdrt.artifact.diffusers_config import TOKENIZERS, XL_COMPONENTS
from sdrt.errors import ArtifactError, WriteError
from sdrt.files.atomic import whole_file
from sdrt.files.cache import cache_folder
from sdrt.files.checksums import CHUNK_BYTES, sha256
from sdrt.files.text_file import read_json
from sdrt.manifest import Model, Source
from sdrt_export.sources.diffusers_folder import WEIGHTS

logger = logging.getLogger(__name__)

ID = re.compile(
    r"(?P<repository>\w[\w.-]*/\w[\w.-]*?)(?P<file>(/\w[\w.-]*)+\.(safetensors|ckpt))?"
    r"(@(?P<revision>\w[\w./-]*))?"
)
SMALL_FILES = re.compile(
    r"model_index\.json|scheduler/scheduler_config\.json"
    rf"|({'|'.join(TOKENIZERS.values())})/[\w.-]+\.(json|txt)"
    rf"|({'|'.join(WEIGHTS)})/config\.json"
)


class Entry(Model):
    """One file of a repository: its size, and its hash as SHA-256 or as git computes it."""

    size: int
    sha256: str | None = None
    blob: str | None = None


class Listing(Model):
    """A revision: the commit that it is, and the files there."""

    commit: str
    files: dict[str, Entry]


@dataclass(frozen=True)
class HubId:
    """`owner/name`, perhaps with a file in it, at a branch, a tag or a commit."""

    repository: str
    file: str | None = None
    revision: str = "main"

    @classmethod
    def parse(cls, text: str) -> "HubId | None":
        """Read `owner/name[/file.safetensors][@revision]`; None for what is no such id."""
        match = ID.fullmatch(text)
        if not match or ".." in text:
            return None
        file = match["file"].removeprefix("/") if match["file"] else None
        return cls(match["repository"], file, match["revision"] or "main")

    def __str__(self) -> str:
        return f"{self.repository}{f'/{self.file}' if self.file else ''}@{self.revision}"

    @property
    def folder(self) -> Path:
        """The folder that holds its files."""
        return cache_folder() / "hub" / self.repository.replace("/", "--")


def fetch(model: HubId) -> tuple[Path, Source]:
    """Download the files that an export needs and lacks; returns the local folder or file.

    The network is not used where `HF_HUB_OFFLINE` is set. Raises `ArtifactError` for models that do
    not exist, or files that differ from those of the revision.
    """
    listing, is_online = _listing(model)
    names = [model.file] if model.file else _needed(model, listing.files)
    if unknown := [name for name in names if name not in listing.files]:
        raise ArtifactError(f"{model} has no file {unknown[0]}; {_single_files(listing.files)}")
    root = model.folder / listing.commit
    for name in names:
        with _explained(model):
            hf_hub_download(
                model.repository,
                name,
                revision=listing.commit,
                local_dir=root,
                local_files_only=not is_online,
            )
        _check(root / name, listing.files[name])
    logger.info("%s: %d files of commit %s, hashes right", model, len(names), listing.commit)
    path = root / model.file if model.file else root
    return path, Source(id=str(model).partition("@")[0], revision=listing.commit)


def _listing(model: HubId) -> tuple[Listing, bool]:
    """The files of a revision, and whether the hub could be reached."""
    record = model.folder / f"{quote(model.revision, safe='')}.json"
    try:
        with _explained(model):
            info = HfApi().model_info(
                model.repository, revision=model.revision, files_metadata=True
            )
    except _Unreachable as error:
        known = read_json(record)
        if known is None:
            raise ArtifactError(
                f"{model} was never downloaded, and {error}; expected a connection, or a local "
                "folder"
            ) from error
        logger.info("%s: as downloaded before (%s)", model, error)
        return Listing.model_validate(known), False
    files = {
        file.rfilename: Entry(
            size=file.size or 0, sha256=file.lfs.sha256 if file.lfs else None, blob=file.blob_id
        )
        for file in info.siblings or []
    }
    listing = Listing(commit=str(info.sha), files=files)
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot write {record.parent}: {error.strerror}") from error
    with whole_file(record) as partial:
        partial.write_text(listing.model_dump_json(indent=1))
    return listing, True


def _needed(model: HubId, files: Iterable[str]) -> list[str]:
    """Configurations, tokenizers, and weights once per network, in full precision if possible."""
    if "model_index.json" not in files and "config.json" in files:
        return ["config.json", *_weights(model, "", WEIGHTS["unet"], files)]  # one network
    if "model_index.json" not in files:
        raise ArtifactError(
            f"{model} is no diffusers folder: it has no model_index.json; {_single_files(files)}"
        )
    names = [name for name in files if SMALL_FILES.fullmatch(name)]
    for part, stem in WEIGHTS.items():
        if part not in XL_COMPONENTS or f"{part}/config.json" in files:
            names += _weights(model, part, stem, files)
    return names


def _weights(model: HubId, part: str, stem: str, files: Iterable[str]) -> list[str]:
    number, folder = r"(-\d{5}-of-\d{5})?", f"{part}/" if part else ""
    for variant in ("", r"\.fp16"):
        pattern = re.compile(
            rf"{folder}{stem}({variant}{number}|{number}{variant})\.safetensors"
            rf"|{folder}{stem}\.safetensors\.index{variant}\.json"
        )
        names = [name for name in files if pattern.fullmatch(name)]
        if any(name.endswith(".safetensors") for name in names):
            return names
    place = part or "its folder"
    raise ArtifactError(f"{model} has no safetensors weights in {place}; sdrt loads no pickles")


def _single_files(files: Iterable[str]) -> str:
    names = sorted(name for name in files if "/" not in name and name.endswith(".safetensors"))
    if not names:
        return "it holds no checkpoint in one file either"
    return f"single files, to be given as owner/name/file: {', '.join(names)}"


def _check(path: Path, entry: Entry) -> None:
    """Raise `ArtifactError` unless a file is the one that the hub listed."""
    if entry.sha256:
        expected, actual = entry.sha256, sha256(path)
    else:
        expected, actual = entry.blob or "", _git_hash(path)
    if expected != actual:
        raise ArtifactError(
            f"{path} is corrupt: its hash is {actual[:12]}..., the hub says {expected[:12]}...; "
            "delete it and export again"
        )


def _git_hash(path: Path) -> str:
    """Git's hash of a file's content, which the hub lists for files outside its large storage."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class _Unreachable(ArtifactError):
    """The hub does not answer, or may not be used."""


@contextmanager
def _explained(model: HubId) -> Iterator[None]:
    """Turn what huggingface_hub raises into one sentence; its errors share no base class."""
    try:
        yield
    except MemoryError:
        raise
    except (RepositoryNotFoundError, GatedRepoError, RevisionNotFoundError) as error:
        kind = {
            RevisionNotFoundError: f"has no revision {model.revision}",
            GatedRepoError: "is gated: its owner wants you to agree to something on its page first",
        }.get(type(error), "is not on the hub, or not for you, and is no local path")
        raise ArtifactError(f"{model} {kind}") from error
    except OfflineModeIsEnabled as error:
        raise _Unreachable("HF_HUB_OFFLINE is set") from error
    except LocalEntryNotFoundError as error:
        raise ArtifactError(
            f"{model} was downloaded only in part, and the hub is out of reach; export again with "
            "a connection"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno and error.filename:
            raise WriteError(f"cannot write {error.filename}: {error.strerror}") from error
        text = " ".join(str(error).split())[:200]
        raise _Unreachable(f"the hub does not answer ({text})") from error
