"""Vocabularies that export makes itself."""

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> dict[int, str]:
    """GPT-2's map of the 256 bytes to printable letters, which CLIP's tokenizer uses too."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters


def byte_tokenizer(start_id: int, end_id: int) -> CLIPTokenizer:
    """A CLIP tokenizer that knows no words, only bytes: for models with random weights."""
    letters = byte_letters().values()
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    vocabulary |= {START: start_id, END: end_id}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
