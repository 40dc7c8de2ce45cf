"""Prompts with a known answer: captions of random scenes, with the attributes that they state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdrt_bench.scenes.captions import UNSTATED, caption
from sdrt_bench.scenes.checker import CHECKED, check
from sdrt_bench.scenes.grammar import Scene, sample_scene
from sdrt_bench.scenes.render import Picture, render


@dataclass(frozen=True)
class ScenePrompt:
    """A caption, its scene, and the attributes that the caption states."""

    text: str
    scene: Scene
    stated: tuple[str, ...]

    def judge(self, picture: Picture) -> dict[str, bool]:
        """Check for each stated attribute whether the picture, (128, 128, 3), shows it."""
        return check(picture, self.scene, self.stated)


def scene_prompts(count: int, noise: float = 0.0, seed: int = 777) -> list[ScenePrompt]:
    """Write captions of random scenes that name an object; fewer are the first of more.

    `noise` is the share of captions that carry words without a meaning to the model.
    """
    rng = np.random.default_rng(seed)
    prompts: list[ScenePrompt] = []
    while len(prompts) < count:
        scene = sample_scene(rng)
        text, classes = caption(scene, rng, noise)
        stated = tuple(name for name in CHECKED if classes[name] != UNSTATED[name])
        if scene.object != "none" and "object" in stated:
            prompts.append(ScenePrompt(text, scene, stated))
    return prompts


def drawn(prompts: Sequence[ScenePrompt]) -> list[Picture]:
    """Draw the scenes as training pictures, on which the checker is at its best."""
    rng = np.random.default_rng(0)
    return [render(prompt.scene, rng) for prompt in prompts]
