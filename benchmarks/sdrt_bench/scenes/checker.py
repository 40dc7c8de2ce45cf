"""Read the attributes off a picture, without any trained network.

Time and ground: medians of rows against the colours of sky and ground. Colour: pixels that differ
from their row and lie near a paint in that light. Side: the middle of these pixels. Object: their
largest blob against silhouettes of freshly drawn objects.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sdrt.arrays import Floats
from sdrt_bench.scenes.canvas import LIGHT, gradient
from sdrt_bench.scenes.grammar import (
    COLORS,
    GROUNDS,
    OBJECT_COLORS,
    OBJECTS,
    SIDES,
    SIZE,
    SIZES,
    TIMES,
    Scene,
    sample_scene,
)
from sdrt_bench.scenes.render import GROUND, HORIZON, SKY, Picture, render

CHECKED = ("time", "ground", "color", "side", "object")

Mask = npt.NDArray[np.bool_]

HORIZON_ROW = int(SIZE * HORIZON)
# Rows (as shares of the height) in which each object shows its own paint.
PAINTED_ROWS = {
    "boat": (0.66, 0.90),
    "house": (0.58, 0.90),
    "car": (0.56, 0.90),
    "tree": (0.28, 0.80),
    "balloon": (0.03, 0.54),
    "dog": (0.40, 0.90),
    "cat": (0.36, 0.90),
    "ball": (0.48, 0.92),
}
MIN_PIXELS = 60
PATCH = 24  # silhouettes are compared at 24 x 24


def check(picture: Picture, scene: Scene, stated: Iterable[str] = CHECKED) -> dict[str, bool]:
    """Tell for each stated attribute whether the picture shows what the scene says."""
    seen = _read(picture, scene)
    return {name: seen[name] == getattr(scene, name) for name in stated if name in seen}


def _read(picture: Picture, scene: Scene) -> dict[str, str]:
    rows = np.median(picture.astype(np.float32), axis=1)
    time = _find_time(rows)
    ground = _find_ground(picture.astype(np.float32), time)
    seen = {"time": time, "ground": ground}
    if scene.object == "none":
        return seen
    view = _View.from_picture(picture, rows, time, ground)
    color, mask = _find_color(view, scene.object)
    # A caption without a colour leaves the paint open; the rest is read from the paint found.
    seen["color"] = color
    seen["side"] = _find_side(mask) if mask.any() else "none"
    seen["object"] = _find_object(_silhouette(view, color)) if mask.any() else "none"
    return seen


def _find_time(rows: Floats) -> str:
    n = int(SIZE * 0.4)
    return min(
        TIMES, key=lambda t: float(np.abs(rows[:n] - gradient(SKY[t], HORIZON_ROW)[:n]).mean())
    )


def _ground_rows(ground: str, time: str) -> Floats:
    rows = gradient(GROUND[ground], SIZE - HORIZON_ROW)
    if ground == "beach":
        rows[: int(0.08 * SIZE)] = np.array(GROUND["sea"][0][1]) * 0.95
    return (rows * LIGHT[time]).astype(np.float32)


def _find_ground(picture: Floats, time: str) -> str:
    """The ground that most pixels show below the horizon and at the bottom of the picture."""
    at = np.r_[int(0.585 * SIZE) : int(0.61 * SIZE) + 1, int(0.93 * SIZE) : SIZE]

    def share(ground: str) -> float:
        wanted = _ground_rows(ground, time)[at - HORIZON_ROW, None]
        difference = np.abs(picture[at] - wanted).max(axis=2)
        return float(np.clip(1 - difference / 40, 0, 1).mean())

    return max(GROUNDS, key=share)


@dataclass(frozen=True)
class _View:
    """A picture with its light, and the pixels that stand out of their row."""

    pixels: Floats
    time: str
    in_front: Mask

    @classmethod
    def from_picture(cls, picture: Picture, rows: Floats, time: str, ground: str) -> "_View":
        behind = rows.copy()
        wanted = _ground_rows(ground, time)
        # Where an object fills most of a row, the row's median is the object.
        filled = np.abs(rows[HORIZON_ROW:] - wanted).max(axis=1) > 45
        filled[:5] = False
        behind[HORIZON_ROW:][filled] = wanted[filled]
        pixels = picture.astype(np.float32)
        return cls(pixels, time, np.abs(pixels - behind[:, None]).max(axis=2) > 16)

    def masks(self, names: Sequence[str], top: float, bottom: float) -> dict[str, Mask]:
        """For every colour, the pixels in front that are nearer to it than to the others."""
        distances = np.stack([self._distance(name) for name in names])
        limit = 34 if self.time == "night" else 48
        row = np.arange(SIZE)[:, None] / SIZE
        near = (distances.min(axis=0) < limit) & self.in_front & (row >= top) & (row < bottom)
        nearest = distances.argmin(axis=0)
        return {name: near & (nearest == i) for i, name in enumerate(names)}

    def _distance(self, name: str) -> Floats:
        paint = np.array(COLORS[name], np.float32) * np.array(LIGHT[self.time], np.float32)
        red, green, blue = self._planes
        nearest = np.full(red.shape, np.inf, np.float32)
        for share in (1.05, 0.95, 0.85, 0.75):
            r, g, b = np.minimum(paint * share, 255)
            np.minimum(nearest, (red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2, out=nearest)
        distances: Floats = np.sqrt(nearest)
        return distances

    @cached_property
    def _planes(self) -> Floats:
        """The pixels as one array for each colour: sums over the last of three axes are slow."""
        return np.ascontiguousarray(np.moveaxis(self.pixels, 2, 0))


def _find_color(view: _View, thing: str) -> tuple[str, Mask]:
    masks = view.masks(OBJECT_COLORS[thing], *PAINTED_ROWS[thing])
    count = {name: float(mask.sum()) for name, mask in masks.items()}
    if "white" in count and thing in ("ball", "boat"):
        count["white"] *= 0.5  # white stripes are on every ball and every hull
    best = max(count, key=lambda name: count[name])
    return (
        (best, masks[best]) if count[best] >= MIN_PIXELS else ("none", np.zeros_like(masks[best]))
    )


def _find_side(mask: Mask) -> str:
    x = float(np.median(np.nonzero(mask)[1])) / SIZE
    return "left" if x < 0.41 else "right" if x > 0.59 else "center"


@dataclass(frozen=True)
class _Silhouette:
    """A blob scaled to a square, its true proportions and its height in the picture."""

    shape: Mask
    log_aspect: float
    y: float

    def distance(self, other: "_Silhouette") -> float:
        shape = float((self.shape ^ other.shape).mean())
        return shape + 0.5 * abs(self.log_aspect - other.log_aspect) + abs(self.y - other.y)


def _silhouette(view: _View, color: str) -> _Silhouette | None:
    mask = view.masks(list(COLORS), 0.03, 0.92)[color]
    labels, count = ndimage.label(ndimage.binary_closing(mask, iterations=2))
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    blob = labels == 1 + int(sizes.argmax())
    ys, xs = np.nonzero(blob)
    if len(ys) < MIN_PIXELS:
        return None
    top, bottom, left, right = ys.min(), ys.max(), xs.min(), xs.max()
    pick_rows = np.linspace(top, bottom, PATCH).round().astype(int)
    pick_columns = np.linspace(left, right, PATCH).round().astype(int)
    aspect = float(np.log((right - left + 1) / (bottom - top + 1)))
    return _Silhouette(blob[pick_rows][:, pick_columns], aspect, float(top + bottom) / 2 / SIZE)


def _find_object(silhouette: _Silhouette | None) -> str:
    """Vote among the five nearest examples."""
    if silhouette is None:
        return "none"
    scored = sorted((silhouette.distance(example), name) for name, example in _examples())
    votes: Counter[str] = Counter()
    for distance, name in scored[:5]:
        votes[name] += 1 / (distance + 0.02)  # type: ignore[assignment]
    return votes.most_common(1)[0][0]


@cache
def _examples() -> list[tuple[str, _Silhouette]]:
    """Eighty drawn examples of each object, from a seed of their own."""
    rng = np.random.default_rng(4321)
    examples = []
    for name in OBJECTS[:-1]:
        for _ in range(80):
            ground = "sea" if name == "boat" else str(rng.choice(GROUNDS[1:]))
            scene = replace(
                sample_scene(rng),
                object=name,
                color=str(rng.choice(OBJECT_COLORS[name])),
                ground=ground,
                side=str(rng.choice(SIDES)),
                size=str(rng.choice(SIZES)),
            )
            picture = render(scene, rng)
            rows = np.median(picture.astype(np.float32), axis=1)
            view = _View.from_picture(picture, rows, scene.time, scene.ground)
            silhouette = _silhouette(view, scene.color)
            if silhouette:
                examples.append((name, silhouette))
    return examples


def accuracy(answers: Sequence[Mapping[str, bool]]) -> dict[str, float]:
    """Shares of right answers of `check`: per attribute, over all attributes, of whole prompts."""
    right: Counter[str] = Counter()
    stated: Counter[str] = Counter()
    for answer in answers:
        stated.update(answer.keys())
        right.update(name for name, is_right in answer.items() if is_right)
    shares = {name: right[name] / stated[name] for name in CHECKED if stated[name]}
    shares["all_attributes"] = right.total() / stated.total()
    shares["whole_prompt"] = sum(all(answer.values()) for answer in answers) / len(answers)
    return shares
