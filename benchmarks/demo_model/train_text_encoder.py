"""Teach the text encoder to read: from its states, a linear layer names what a caption states.

Afterwards the encoder is frozen; the U-Net learns to use what it says.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from demo_model.geometry import untrained_text_encoder
from demo_model.tokenizer import LENGTH, build_tokenizer
from demo_model.training import Run, cosine_rate
from sdrt_bench.scenes.captions import caption
from sdrt_bench.scenes.grammar import ATTRIBUTES, sample_scene

CLASSES = [len(values) + 1 for values in ATTRIBUTES.values()]  # and one for "not said"


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for checkpoints and the trained network")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--captions", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--start", type=Path, help="folder of a trained model to go on from")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    tokenizer = build_tokenizer(args.work / "tokenizer")
    seen = read_captions(tokenizer, args.captions, seed=11)
    unseen = read_captions(tokenizer, 2000, seed=12)
    reader = Reader(untrained_text_encoder())
    if args.start:
        start_from_words(reader.encoder, tokenizer, args.start)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=args.rate, betas=(0.9, 0.98), fused=True)
    run = Run(args.work / "text_encoder.pt", reader, optimizer, args.steps)
    for step in run:
        run.set_rate(cosine_rate(step, args.steps, args.rate, warmup=100))
        run.descend(reader.loss(seen.pick(args.batch)))
        run.report(200)
        if (step + 1) % 1000 == 0:
            print(f"          {reader.accuracy(unseen):.4f} of unseen statements", flush=True)
    run.average.swap()
    print(f"{reader.accuracy(unseen):.4f} of unseen statements read rightly")
    reader.encoder.save_pretrained(args.work / "text_encoder")


def start_from_words(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, model: Path) -> None:
    """Take another model's layers, and its vectors for the tokens that both vocabularies hold."""
    theirs = CLIPTextModel.from_pretrained(model / "text_encoder", dtype=torch.float32)
    vocabulary = CLIPTokenizer.from_pretrained(model / "tokenizer").get_vocab()
    weights = theirs.state_dict()
    (name,) = (name for name in weights if name.endswith("token_embedding.weight"))
    vectors = encoder.state_dict()[name].clone()
    for token, index in tokenizer.get_vocab().items():
        if token in vocabulary:
            vectors[index] = weights[name][vocabulary[token]]
    encoder.load_state_dict({**weights, name: vectors})


@dataclass(frozen=True)
class Captions:
    """Token ids (n, 77) and what each caption states (n, attributes)."""

    ids: torch.Tensor
    stated: torch.Tensor

    def pick(self, count: int) -> "Captions":
        """Draw some at random."""
        chosen = torch.randint(0, len(self.ids), (count,))
        return Captions(self.ids[chosen], self.stated[chosen])


def read_captions(tokenizer: CLIPTokenizer, count: int, seed: int) -> Captions:
    """Word random scenes."""
    rng = np.random.default_rng(seed)
    pairs = [caption(sample_scene(rng), rng) for _ in range(count)]
    texts = [text for text, _ in pairs]
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH).input_ids
    return Captions(torch.tensor(ids), torch.tensor([list(stated.values()) for _, stated in pairs]))


class Reader(torch.nn.Module):
    """The text encoder with a linear layer that names the stated attributes."""

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Linear(encoder.config.hidden_size, sum(CLASSES))

    def loss(self, captions: Captions) -> torch.Tensor:
        """Cross-entropy, read from the end token or from any padding after it."""
        end = (captions.ids == self.encoder.config.eos_token_id).int().argmax(1)
        further = (torch.rand(len(end)) * (LENGTH - end)).long() * (torch.rand(len(end)) < 0.7)
        answers = self._answers(captions.ids, end + further)
        parts = zip(answers, captions.stated.unbind(1), strict=True)
        return torch.stack([F.cross_entropy(answer, stated) for answer, stated in parts]).sum()

    @torch.no_grad()
    def accuracy(self, captions: Captions) -> float:
        """Share of attributes (stated or not) that are named rightly at the last position."""
        right = []
        for i in range(0, len(captions.ids), 200):
            ids, stated = captions.ids[i : i + 200], captions.stated[i : i + 200]
            answers = self._answers(ids, torch.full((len(ids),), LENGTH - 1))
            named = torch.stack([answer.argmax(1) for answer in answers], dim=1)
            right.append((named == stated).float().mean())
        return float(torch.stack(right).mean())

    def _answers(self, ids: torch.Tensor, at: torch.Tensor) -> list[torch.Tensor]:
        states = self.encoder(ids).last_hidden_state
        scores = self.head(states[torch.arange(len(ids)), at])
        return list(torch.split_with_sizes(scores, CLASSES, dim=1))


if __name__ == "__main__":
    main()
