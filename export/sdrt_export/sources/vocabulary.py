"""Tokenizers that need no download: CLIP's own, which comes with sdrt, and one of bytes."""

from pathlib import Path

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
CLIP_IDS = 49408, 49406, 49407  # number of tokens, start, end
VOCABULARIES = CLIP_IDS[0], 514  # numbers of tokens of the tokenizers in this file
PADDING = "!"  # of OpenCLIP: token 0, where OpenAI's CLIP fills up with its end
LENGTH = 77


def byte_letters() -> dict[int, str]:
    """GPT-2's map of the 256 bytes to printable letters, which CLIP's tokenizer uses too."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters


def clip_tokenizer(padding: str = END) -> CLIPTokenizer:
    """CLIP's tokenizer: bytes, bytes that end a word, merged pairs in their order, start, end."""
    path = Path(__file__).parents[1] / "clip_vocabulary" / "merges.txt"
    merges = [
        (first, second)
        for first, second in map(str.split, path.read_text(encoding="utf-8").splitlines()[1:])
    ]
    tokens = [*_byte_tokens(), *(first + second for first, second in merges), START, END]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token=padding, model_max_length=LENGTH
    )


def byte_tokenizer(start_id: int, end_id: int, padding: str = END) -> CLIPTokenizer:
    """A CLIP tokenizer that knows no words, only bytes: for models with random weights."""
    vocabulary = {token: i for i, token in enumerate(_byte_tokens())}
    vocabulary |= {START: start_id, END: end_id}
    return CLIPTokenizer(vocab=vocabulary, merges=[], pad_token=padding, model_max_length=LENGTH)


def _byte_tokens() -> list[str]:
    letters = byte_letters().values()
    return [*letters, *(letter + "</w>" for letter in letters)]
