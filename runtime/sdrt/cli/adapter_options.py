"""The options of `sdrt generate` for what is added to a model: LoRAs, words, ControlNets."""

from dataclasses import dataclass

from sdrt.cli.option_types import option


@dataclass(frozen=True)
class AdapterOptions:
    """What is added to the model."""

    loras: tuple[str, ...] = option(
        "--lora",
        metavar="FILE[:WEIGHT]",
        multiple=True,
        help="Add a LoRA (.safetensors); may be given several times. Default weight: 1.",
    )
    embeddings: tuple[str, ...] = option(
        "--embedding",
        metavar="FILE[:WORD]",
        multiple=True,
        help="Add a textual inversion (.safetensors); default word: the file's own, or its name.",
    )


@dataclass(frozen=True)
class ControlOptions:
    """ControlNets and the pictures that they follow."""

    controls: tuple[str, ...] = option(
        "--control",
        metavar="[KIND:]FOLDER=PICTURE[:WEIGHT[:START:END]]",
        multiple=True,
        help="Follow a picture by a ControlNet; may be given several times. KIND makes the hint of "
        "a photograph: canny, scribble or tile.",
    )
    guess_mode: bool = option(
        "--control-guess",
        is_flag=True,
        help="Follow it without a prompt: only in the prompt's branch, and more in deep layers.",
    )

    def given(self) -> dict[str, object]:
        """Those that were given, by the names of the Python interface."""
        controls = {"controls": self.controls} if self.controls else {}
        return controls | ({"guess_mode": True} if self.guess_mode else {})
