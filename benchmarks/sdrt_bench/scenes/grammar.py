"""The grammar of the training pictures: what a scene can hold, and how one is drawn at random."""

from dataclasses import dataclass

import numpy as np

SIZE = 128  # pixels; width and height of every training picture

TIMES = ("day", "sunset", "night", "dawn")
GROUNDS = ("sea", "meadow", "desert", "beach", "snow")
OBJECTS = ("boat", "house", "tree", "car", "balloon", "dog", "cat", "ball", "none")
SIDES = ("left", "center", "right")
SIZES = ("small", "medium", "big")
BACKGROUNDS = ("none", "mountains", "hills")

Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "red": (222, 40, 44),
    "orange": (242, 130, 30),
    "yellow": (252, 214, 40),
    "green": (40, 165, 70),
    "blue": (40, 80, 236),
    "purple": (140, 60, 190),
    "pink": (250, 130, 180),
    "white": (250, 250, 250),
    "black": (50, 49, 56),
    "brown": (140, 88, 48),
}
PAINT = ("red", "yellow", "green", "blue", "purple", "white", "black", "pink")
FUR = ("brown", "black", "white", "orange")
LEAVES = ("green", "orange", "pink")
OBJECT_COLORS = {
    "boat": PAINT,
    "house": PAINT,
    "car": PAINT,
    "balloon": PAINT,
    "ball": PAINT,
    "dog": FUR,
    "cat": FUR,
    "tree": LEAVES,
}


@dataclass(frozen=True)
class Scene:
    """One picture's attributes; `color` is `"none"` when there is no object."""

    time: str
    ground: str
    object: str
    color: str
    side: str
    size: str
    background: str


# Class names of every attribute, in the order in which captions report what they state.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "time": TIMES,
    "ground": GROUNDS,
    "object": OBJECTS,
    "color": tuple(COLORS),
    "side": SIDES,
    "size": SIZES,
    "background": BACKGROUNDS,
}

AT_SEA = {"boat": 0.72, "balloon": 0.21, "none": 0.07}
ON_LAND = {
    "house": 0.17,
    "tree": 0.13,
    "car": 0.13,
    "balloon": 0.10,
    "dog": 0.17,
    "cat": 0.16,
    "ball": 0.09,
    "none": 0.05,
}


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene; white objects never stand on snow, where nobody could see them."""
    ground = _pick(rng, {"sea": 0.26, "meadow": 0.22, "desert": 0.14, "beach": 0.20, "snow": 0.18})
    thing = _pick(rng, AT_SEA if ground == "sea" else ON_LAND)
    color, side, size = "none", "center", "medium"
    if thing != "none":
        color = str(rng.choice(OBJECT_COLORS[thing]))
        side = _pick(rng, {"left": 0.27, "center": 0.46, "right": 0.27})
        size = _pick(rng, {"small": 0.2, "medium": 0.6, "big": 0.2})
        if color == "white" and ground == "snow":
            color = "black"
    return Scene(
        time=_pick(rng, {"day": 0.32, "sunset": 0.26, "night": 0.26, "dawn": 0.16}),
        ground=ground,
        object=thing,
        color=color,
        side=side,
        size=size,
        background=_pick(rng, {"none": 0.5, "mountains": 0.27, "hills": 0.23}),
    )


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    return str(rng.choice(list(weights), p=list(weights.values())))
