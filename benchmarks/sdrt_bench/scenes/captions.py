"""Captions of scenes: many wordings for a scene, and the attributes that each of them states."""

from collections.abc import Sequence

import numpy as np

from sdrt_bench.scenes.grammar import ATTRIBUTES, Scene

Rng = np.random.Generator

OBJECT_WORDS = {
    "boat": ("boat", "boat", "sailboat", "sailing boat", "ship"),
    "house": ("house", "house", "cottage", "home"),
    "tree": ("tree",),
    "car": ("car", "car", "automobile"),
    "balloon": ("balloon", "hot air balloon"),
    "dog": ("dog", "dog", "puppy"),
    "cat": ("cat", "cat", "kitten"),
    "ball": ("ball", "beach ball"),
    "none": ("landscape", "view", "empty scene"),
}
COLOR_WORDS = {"orange": ("orange", "ginger")}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}
TIME_WORDS = {
    "day": ("by day", "on a sunny day", "under a blue sky", "at noon", "in daylight"),
    "sunset": ("at sunset", "at sunset", "in the evening", "at dusk"),
    "night": ("at night", "at night", "under the stars", "by moonlight", "under a starry sky"),
    "dawn": ("at dawn", "in the morning", "at sunrise"),
}
GROUND_WORDS = {
    "sea": ("on the sea", "on the water", "on the ocean", "at sea"),
    "meadow": ("in a meadow", "on the grass", "in a green field"),
    "desert": ("in the desert", "on the sand dunes", "on the sand"),
    "beach": ("on the beach", "on a sandy beach", "by the shore"),
    "snow": ("in the snow", "in winter", "on a snowy field"),
}
AIR_WORDS = {
    "sea": ("over the sea", "above the ocean", "above the water"),
    "meadow": ("over a meadow", "above the grass", "over a green field"),
    "desert": ("over the desert", "above the sand dunes"),
    "beach": ("over the beach", "above a sandy beach"),
    "snow": ("over the snow", "above a snowy field"),
}
SIDE_WORDS = {
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "center": ("in the middle", "in the center"),
}
BACKGROUND_WORDS = {
    "mountains": ("with mountains", "in front of mountains", "mountains in the background"),
    "hills": ("with hills", "in front of hills", "hills in the background"),
}
OPENINGS = ("a picture of", "an image of", "a painting of", "an illustration of", "a photo of")

# Words that people write and these pictures cannot show: the text encoder learns to pass over them.
FILLERS = tuple(
    """
    beautiful detailed masterpiece cinematic artistic epic lonely happy sad old new nice great good
    best quality highly intricate sharp focus dramatic lighting soft light warm cold dreamy calm
    peaceful quiet wild fantasy art concept digital drawing sketch watercolor oil poster film still
    photograph photorealistic realistic style vivid vibrant colorful pastel bright moody atmospheric
    wide angle shot close up high resolution ultra hd trending award winning professional studio
    minimalist modern vintage retro anime cartoon comic children book render cute lovely funny
    standing sitting sleeping running waiting playing alone there is one which and very really
    summer spring autumn sky clouds sun moon stars waves wind world magic magical story mood
    """.split()
)
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")

UNSTATED = {name: len(values) for name, values in ATTRIBUTES.items()}


def caption(scene: Scene, rng: Rng, noise: float = 0.25) -> tuple[str, dict[str, int]]:
    """Word a scene; also the class index of each attribute, or the number of classes if unstated.

    `noise` is the share of captions that carry words without a meaning here.
    """
    stated = dict(UNSTATED)
    brevity = 0.45 if rng.random() < 0.18 else 1.0
    head = _head(scene, rng, brevity, stated)
    tail = _tail(scene, rng, brevity, stated)
    text = " ".join(head)
    if head and scene.object != "none" and rng.random() < 0.7:
        text = ("an " if text[0] in "aeiou" else "a ") + text
    if rng.random() < 0.2:
        text = f"{_pick(rng, OPENINGS)} {text}".strip()
    parts = [text, *tail] if text else tail
    if rng.random() < noise:
        parts = _with_fillers(parts, rng)
    separator = ", " if rng.random() < 0.2 else " "
    return separator.join(parts) or "a picture", stated


def _head(scene: Scene, rng: Rng, brevity: float, stated: dict[str, int]) -> list[str]:
    """Size, colour and name of the object; empty when the caption leaves it out."""
    if scene.object != "none" and brevity == 1.0 and rng.random() > 0.97:
        return []
    words = []
    if scene.size in SIZE_WORDS and rng.random() < 0.85 * brevity:
        words.append(_say(scene, "size", rng, SIZE_WORDS[scene.size], stated))
    if scene.object != "none" and rng.random() < 0.92 * brevity:
        names = COLOR_WORDS.get(scene.color, (scene.color,))
        words.append(_say(scene, "color", rng, names, stated))
    words.append(_say(scene, "object", rng, OBJECT_WORDS[scene.object], stated))
    if scene.object == "none" and rng.random() < 0.4:
        words.insert(0, _pick(rng, ("a", "the")))
    return words


def _tail(scene: Scene, rng: Rng, brevity: float, stated: dict[str, int]) -> list[str]:
    """Ground, time, side and background, in any order."""
    has_object = scene.object != "none" and stated["object"] != UNSTATED["object"]
    flies = scene.object == "balloon" and has_object and rng.random() < 0.7
    side = 0.0 if not has_object else 0.12 if scene.side == "center" else 0.75
    background = 0.8 if scene.background in BACKGROUND_WORDS else 0.0
    chances = {
        "ground": (0.9, (AIR_WORDS if flies else GROUND_WORDS)[scene.ground]),
        "time": (0.9, TIME_WORDS[scene.time]),
        "side": (side, SIDE_WORDS[scene.side]),
        "background": (background, BACKGROUND_WORDS.get(scene.background, ())),
    }
    tail = [
        _say(scene, name, rng, words, stated)
        for name, (chance, words) in chances.items()
        if rng.random() < chance * brevity
    ]
    rng.shuffle(tail)
    return tail


def _with_fillers(parts: list[str], rng: Rng) -> list[str]:
    """Put one to five words that mean nothing here before, between or after the parts."""
    parts = list(parts)
    for _ in range(rng.integers(1, 6)):
        word = _pick(rng, FILLERS) if rng.random() < 0.8 else _invented(rng)
        parts.insert(int(rng.integers(0, len(parts) + 1)), word)
    return parts


def _invented(rng: Rng) -> str:
    return "".join(_pick(rng, LETTERS) for _ in range(rng.integers(2, 9)))


def _say(scene: Scene, name: str, rng: Rng, words: Sequence[str], stated: dict[str, int]) -> str:
    stated[name] = ATTRIBUTES[name].index(getattr(scene, name))
    return _pick(rng, words)


def _pick(rng: Rng, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]
