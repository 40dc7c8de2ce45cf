"""Files of older releases of transformers give the ids of new ones."""

import shutil
from pathlib import Path

import numpy as np

from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer
from sdrt_export.sources.vocabulary import PADDING, clip_tokenizer
from tests.runtime.artifact.peers import PROMPT, split_tokenizer


def test_an_old_tokenizer_gives_the_ids_of_a_new_one(tmp_path: Path) -> None:
    clip_tokenizer(PADDING).save_pretrained(tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    split_tokenizer(tmp_path / "old")
    new, old = (Tokenizer(tmp_path / name, 77) for name in ("new", "old"))
    for text in (PROMPT, "", "Ünï cödé  日本語 🙂", "a<|endoftext|>b", "don't  we'll\n\nx2y"):
        np.testing.assert_array_equal(new.encode(parse(text)).ids, old.encode(parse(text)).ids)
