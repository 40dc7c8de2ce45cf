"""Scene -> picture: sky, lights, background, ground, then the object."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdrt_bench.scenes.canvas import LIGHT, PIXELS, SUPERSAMPLING, Canvas, gradient
from sdrt_bench.scenes.grammar import COLORS, Color, Scene
from sdrt_bench.scenes.objects import DRAW, SCALE

Picture = npt.NDArray[np.uint8]
Rng = np.random.Generator

HORIZON = 0.54  # share of the height; every picture moves it by up to 0.03
SIDE_X = {"left": 0.27, "center": 0.5, "right": 0.73}
SIZE_FACTOR = {"small": 0.7, "medium": 1.0, "big": 1.3}

SKY: dict[str, list[tuple[float, Color]]] = {
    "day": [(0, (60, 130, 225)), (1, (190, 226, 250))],
    "sunset": [(0, (84, 48, 120)), (0.55, (232, 88, 84)), (1, (255, 178, 70))],
    "night": [(0, (8, 10, 38)), (1, (44, 56, 112))],
    "dawn": [(0, (150, 158, 222)), (0.6, (238, 190, 212)), (1, (255, 226, 196))],
}
GROUND: dict[str, list[tuple[float, Color]]] = {
    "sea": [(0, (40, 138, 192)), (1, (14, 78, 140))],
    "meadow": [(0, (130, 200, 84)), (1, (62, 145, 50))],
    "desert": [(0, (240, 200, 120)), (1, (214, 160, 86))],
    "beach": [(0, (246, 222, 160)), (1, (232, 200, 132))],
    "snow": [(0, (248, 251, 255)), (1, (214, 226, 243))],
}
CLOUD: dict[str, Color] = {
    "day": (252, 253, 255),
    "sunset": (250, 150, 120),
    "dawn": (255, 236, 236),
}


def render(scene: Scene, rng: Rng) -> Picture:
    """Draw a scene; everything the scene leaves open is drawn at random: (128, 128, 3) uint8."""
    rows = int(PIXELS * (HORIZON + rng.uniform(-0.03, 0.03)))
    pixels = np.empty((PIXELS, PIXELS, 3), np.float32)
    pixels[:rows] = gradient(SKY[scene.time], rows)[:, None]
    pixels[rows:] = (gradient(GROUND[scene.ground], PIXELS - rows) * LIGHT[scene.time])[:, None]
    image = Image.fromarray(pixels.astype(np.uint8))
    canvas = Canvas(image, scene.time, facing=1 if rng.random() < 0.5 else -1)
    horizon = rows / PIXELS
    sun_x = rng.uniform(0.15, 0.85)
    LIGHTS[scene.time](canvas, rng, horizon, sun_x)
    if scene.time != "night":
        _clouds(canvas, rng, horizon, CLOUD[scene.time])
    _background(canvas, rng, horizon, scene)
    # The horizon cuts whatever hangs below it: sun, mountains and hills.
    image.paste(Image.fromarray(pixels[rows:].astype(np.uint8)), (0, rows))
    _texture(canvas, rng, horizon, scene, sun_x)
    if scene.object != "none":
        _object(canvas, rng, scene)
    return np.asarray(image.reduce(SUPERSAMPLING))


def _day(c: Canvas, rng: Rng, horizon: float, x: float) -> None:
    y, r = rng.uniform(0.1, 0.18), rng.uniform(0.06, 0.08)
    c.ellipse((x, y), (r * 1.45, r * 1.45), (150, 205, 245), lit=False)
    c.ellipse((x, y), (r, r), (255, 238, 130), lit=False)


def _sunset(c: Canvas, rng: Rng, horizon: float, x: float) -> None:
    y, r = horizon - rng.uniform(0.0, 0.08), rng.uniform(0.09, 0.12)
    c.ellipse((x, y), (r * 1.4, r * 1.4), (255, 160, 74), lit=False)
    c.ellipse((x, y), (r, r), (255, 226, 120), lit=False)


def _dawn(c: Canvas, rng: Rng, horizon: float, x: float) -> None:
    y, r = horizon - rng.uniform(0.08, 0.16), rng.uniform(0.055, 0.07)
    c.ellipse((x, y), (r * 1.5, r * 1.5), (255, 226, 214), lit=False)
    c.ellipse((x, y), (r, r), (255, 250, 226), lit=False)


def _night(c: Canvas, rng: Rng, horizon: float, x: float) -> None:
    for _ in range(rng.integers(9, 15)):
        r = rng.uniform(0.007, 0.012)
        at = (rng.uniform(0.02, 0.98), rng.uniform(0.02, horizon - 0.14))
        c.ellipse(at, (r, r), (240, 240, 215), lit=False)
    y, r = rng.uniform(0.11, 0.19), rng.uniform(0.065, 0.085)
    c.ellipse((x, y), (r, r), (250, 246, 216), lit=False)
    if rng.random() < 0.5:  # a crescent
        c.ellipse((x + 0.5 * r, y - 0.15 * r), (r * 0.88, r * 0.88), (16, 19, 54), lit=False)


LIGHTS: dict[str, Callable[[Canvas, Rng, float, float], None]] = {
    "day": _day,
    "sunset": _sunset,
    "night": _night,
    "dawn": _dawn,
}


def _clouds(c: Canvas, rng: Rng, horizon: float, color: Color) -> None:
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(0.1, 0.9), rng.uniform(0.08, horizon - 0.24)
        r = rng.uniform(0.035, 0.05)
        for dx, dy, k in ((-1.5, 0.25, 0.75), (0, 0, 1.1), (1.4, 0.25, 0.8)):
            c.ellipse((x + dx * r, y + dy * r), (r * k * 1.3, r * k * 0.8), color, lit=False)


def _background(c: Canvas, rng: Rng, horizon: float, scene: Scene) -> None:
    if scene.background == "mountains":
        for x in rng.permutation(np.linspace(0.08, 0.92, rng.integers(2, 4))):
            _mountain(c, rng, horizon, x + rng.uniform(-0.07, 0.07))
    elif scene.background == "hills":
        color = {"desert": (212, 158, 92), "snow": (222, 232, 246)}.get(scene.ground, (92, 156, 84))
        for shade in (0.80, 0.92):
            size = (rng.uniform(0.38, 0.55), rng.uniform(0.10, 0.17))
            c.ellipse((rng.uniform(0.05, 0.95), horizon), size, color, shade)


def _mountain(c: Canvas, rng: Rng, base: float, x: float) -> None:
    w, h = rng.uniform(0.3, 0.4), rng.uniform(0.2, 0.3)
    rock: Color = (112, 122, 150)
    c.polygon([(x - w, base), (x, base - h), (x + w, base)], rock, rng.uniform(0.85, 1.05))
    snow = ((-0.28, 0.72), (0, 1.0), (0.28, 0.72), (0.1, 0.64), (-0.08, 0.66))
    c.polygon([(x + w * dx, base - h * dy) for dx, dy in snow], (246, 248, 252))


def _texture(c: Canvas, rng: Rng, horizon: float, scene: Scene, sun_x: float) -> None:
    if scene.ground in ("sea", "beach"):
        _water(c, rng, horizon, scene, sun_x)
    elif scene.ground == "meadow":
        for _ in range(10):
            petals = ((255, 250, 250), (255, 226, 90), (250, 120, 150))[rng.integers(3)]
            at = (rng.uniform(0.02, 0.98), rng.uniform(horizon + 0.05, 0.98))
            c.ellipse(at, (0.013, 0.013), petals)
    elif scene.ground == "desert":
        for dy in (0.1, 0.24, 0.38):
            x, w = rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.5)
            c.ellipse((x, horizon + dy + 0.04), (w, 0.045), (228, 180, 104))
            c.ellipse((x, horizon + dy + 0.056), (w, 0.045), (236, 194, 116))
    else:
        for dy in (0.12, 0.28):
            x, w = rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.5)
            c.ellipse((x, horizon + dy), (w, 0.03), (205, 220, 242))
            c.ellipse((x, horizon + dy + 0.014), (w, 0.03), (240, 246, 253))


def _water(c: Canvas, rng: Rng, horizon: float, scene: Scene, sun_x: float) -> None:
    is_sea = scene.ground == "sea"
    bottom = 1.0 if is_sea else horizon + 0.1
    if not is_sea:  # a strip of sea with foam at its edge
        c.rectangle((0, horizon, 1, horizon + 0.1), GROUND["sea"][0][1], 0.95)
        c.rectangle((0, horizon + 0.1, 1, horizon + 0.12), (240, 248, 250))
    for _ in range(7 if is_sea else 2):
        x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.03, bottom - 0.04)
        w = rng.uniform(0.06, 0.12)
        c.line((x - w, y), (x + w, y), 0.014, (140, 205, 235))
    if scene.time == "sunset":  # the sun's reflection
        for i in range(5 if is_sea else 2):
            w, y = rng.uniform(0.05, 0.1), horizon + 0.02 + i * 0.042
            c.line((sun_x - w, y), (sun_x + w, y), 0.016, (255, 206, 120), lit=False)


def _object(c: Canvas, rng: Rng, scene: Scene) -> None:
    s = SCALE[scene.object] * SIZE_FACTOR[scene.size] * rng.uniform(0.95, 1.05)
    x = SIDE_X[scene.side] + rng.uniform(-0.03, 0.03)
    x = min(max(x, s * 0.5 + 0.03), 1 - s * 0.5 - 0.03)  # whole objects, even big ones at the side
    y = rng.uniform(0.82, 0.87) + {"small": -0.02, "medium": 0.0, "big": 0.05}[scene.size]
    if scene.object == "balloon":
        y = rng.uniform(0.27, 0.32) + (0.03 if scene.size == "big" else 0)
    elif scene.object == "boat":
        y -= 0.06
        c.ellipse((x, y + 0.12 * s), (s * 0.54, s * 0.05), (190, 226, 245))
    else:
        r, g, b = GROUND[scene.ground][1][1]
        c.ellipse((x, y), (s * 0.52, s * 0.05), (r, g, b), 0.72)
    DRAW[scene.object](c, x, y, s, COLORS[scene.color])
