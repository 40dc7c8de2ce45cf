"""Prompts of a comparison: those of a file, or a built-in list that fits the models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdrt import validation
from sdrt.errors import MissingExtraError
from sdrt.manifest import Manifest
from sdrt.text.prompt import read_prompts
from sdrt_bench.similarity import Pixels

Judge = Callable[[Pixels], dict[str, bool]]

MAX_SCENES = 10_000
EMBEDDED = "demo"
BUILT_IN = "a number of built-in prompts"

# People, things, places, styles and letters: what models of this size are asked for.
ORDINARY = (
    "a photograph of an astronaut riding a horse",
    "a bowl of fruit on a wooden table, soft window light",
    "portrait of an old fisherman, detailed, 85mm",
    "a lighthouse in a storm at night",
    "an oil painting of a village in the Alps",
    "a red bicycle leaning on a brick wall",
    "two cats sleeping on a blue sofa",
    "a cup of coffee and a croissant, seen from above",
    "a city street in the rain, neon signs, reflections",
    "a pencil drawing of an oak tree",
    "a macro photograph of a dew drop on a leaf",
    "a steam train crossing a stone bridge, autumn",
    "a watercolor of a harbour with fishing boats",
    "a bookshelf with a globe and a brass lamp",
    "a fox in the snow, wildlife photography",
    "a futuristic greenhouse on Mars",
    "a plate of spaghetti with tomato sauce",
    "a woman with a straw hat in a field of lavender",
    "the interior of a gothic cathedral, wide angle",
    "a child flying a kite on the beach",
    "a still life with sunflowers in the style of Van Gogh",
    "an elephant in the savanna at sunset",
    "a wooden sign that says open",
    "a mountain lake in the morning, mist, mirror of the peaks",
)


@dataclass(frozen=True)
class Prompt:
    """A text; where the right answer is known, also a function that checks an image."""

    text: str
    judge: Judge | None = None


def choose_prompts(
    choice: str, models: Sequence[Manifest], width: int, height: int
) -> Sequence[Prompt]:
    """Take a number of prompts from the built-in list, or the lines of a file of that name.

    Captions of scenes for the embedded model and what descends from it, ordinary prompts for
    others. Raises `UsageError`, or `MissingExtraError` where the checker's packages are not there.
    """
    if not choice.isdecimal():
        return [Prompt(text) for text in read_prompts(Path(choice), BUILT_IN)]
    if all(paints_scenes(model) for model in models):
        return _scenes(
            validation.whole("number of prompts", int(choice), 1, MAX_SCENES), width, height
        )
    count = validation.whole("number of prompts", int(choice), 1, len(ORDINARY))
    return [Prompt(text) for text in ORDINARY[:count]]


def paints_scenes(model: Manifest) -> bool:
    """Say whether this is the embedded model, or was exported from its weights."""
    return EMBEDDED in (model.name, model.source.id)


def _scenes(count: int, width: int, height: int) -> list[Prompt]:
    try:
        from sdrt_bench.scenes.grammar import SIZE
        from sdrt_bench.scenes.prompts import scene_prompts
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "bench") from error
    # The checker knows where things are in pictures of the size that it draws.
    is_judged = (width, height) == (SIZE, SIZE)
    return [
        Prompt(scene.text, scene.judge if is_judged else None) for scene in scene_prompts(count)
    ]
