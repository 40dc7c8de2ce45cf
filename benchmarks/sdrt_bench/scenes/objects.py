"""The eight things a scene can show. Each draws itself standing on `(x, y)`, `s` tall or wide."""

from collections.abc import Callable

from sdrt_bench.scenes.canvas import Canvas
from sdrt_bench.scenes.grammar import Color

WOOD: Color = (120, 78, 44)
GLASS: Color = (176, 216, 238)
LAMP: Color = (255, 226, 120)
WHITE: Color = (252, 250, 244)
DARK: Color = (20, 20, 22)


def boat(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A sailing boat: two sails, and a hull with a white stripe that parts it from the sea."""
    f = c.facing * s
    c.line((x, y - 0.15 * s), (x, y - 0.95 * s), 0.035 * s, WOOD)
    c.polygon([(x + 0.05 * f, y - 0.94 * s), (x + 0.05 * f, y - 0.28 * s), (x + 0.52 * f, y - 0.28 * s)], WHITE)
    c.polygon([(x - 0.05 * f, y - 0.84 * s), (x - 0.05 * f, y - 0.28 * s), (x - 0.40 * f, y - 0.28 * s)], WHITE, 0.92)
    c.polygon([(x - 0.58 * s, y - 0.22 * s), (x + 0.58 * s, y - 0.22 * s), (x + 0.42 * s, y + 0.12 * s), (x - 0.42 * s, y + 0.12 * s)], color)
    c.polygon([(x - 0.58 * s, y - 0.23 * s), (x + 0.58 * s, y - 0.23 * s), (x + 0.555 * s, y - 0.165 * s), (x - 0.555 * s, y - 0.165 * s)], WHITE)


def house(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A cottage whose windows are lit at night."""
    c.rectangle((x + 0.16 * s, y - 0.98 * s, x + 0.29 * s, y - 0.68 * s), (120, 76, 66))
    c.rectangle((x - 0.42 * s, y - 0.58 * s, x + 0.42 * s, y), color)
    c.polygon([(x - 0.54 * s, y - 0.55 * s), (x, y - 1.0 * s), (x + 0.54 * s, y - 0.55 * s)], (128, 62, 50))
    c.rectangle((x - 0.1 * s, y - 0.34 * s, x + 0.1 * s, y), (96, 60, 38))
    window = LAMP if c.is_night else GLASS
    for dx in (-0.26, 0.26):
        c.rectangle((x + (dx - 0.09) * s, y - 0.45 * s, x + (dx + 0.09) * s, y - 0.26 * s), window, lit=not c.is_night)


def tree(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A round crown on a trunk."""
    c.rectangle((x - 0.075 * s, y - 0.45 * s, x + 0.075 * s, y), WOOD)
    leaves = ((-0.24, -0.62, 0.26, 0.86), (0.24, -0.62, 0.26, 0.86), (0, -0.5, 0.26, 0.8), (0, -0.84, 0.3, 1.0), (-0.1, -0.7, 0.24, 1.05))
    for dx, dy, radius, shade in leaves:
        c.ellipse((x + dx * s, y + dy * s), (radius * s, radius * s), color, shade)


def car(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A car from the side."""
    f = c.facing * s
    c.polygon([(x - 0.40 * f, y - 0.34 * s), (x - 0.26 * f, y - 0.62 * s), (x + 0.18 * f, y - 0.62 * s), (x + 0.38 * f, y - 0.34 * s)], color, 0.9)
    c.polygon([(x - 0.29 * f, y - 0.36 * s), (x - 0.20 * f, y - 0.56 * s), (x - 0.04 * f, y - 0.56 * s), (x - 0.04 * f, y - 0.36 * s)], GLASS)
    c.polygon([(x + 0.03 * f, y - 0.36 * s), (x + 0.03 * f, y - 0.56 * s), (x + 0.14 * f, y - 0.56 * s), (x + 0.27 * f, y - 0.36 * s)], GLASS)
    c.rectangle((x - 0.58 * s, y - 0.37 * s, x + 0.58 * s, y - 0.1 * s), color, radius=0.07 * s)
    c.ellipse((x + 0.52 * f, y - 0.27 * s), (0.05 * s, 0.05 * s), LAMP, lit=not c.is_night)
    for dx in (-0.33, 0.33):
        c.ellipse((x + dx * s, y - 0.11 * s), (0.145 * s, 0.145 * s), (30, 30, 34))
        c.ellipse((x + dx * s, y - 0.11 * s), (0.065 * s, 0.065 * s), (180, 180, 186))


def balloon(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A hot-air balloon; `(x, y)` is the middle of its envelope."""
    for side in (-1, 1):
        c.line((x + side * 0.2 * s, y + 0.28 * s), (x + side * 0.08 * s, y + 0.58 * s), 0.025 * s, WOOD)
    c.polygon([(x - 0.39 * s, y + 0.12 * s), (x + 0.39 * s, y + 0.12 * s), (x + 0.12 * s, y + 0.46 * s), (x - 0.12 * s, y + 0.46 * s)], color, 0.92)
    c.ellipse((x, y - 0.05 * s), (0.44 * s, 0.44 * s), color)
    c.ellipse((x, y - 0.05 * s), (0.2 * s, 0.44 * s), color, 0.8)
    c.polygon([(x - 0.18 * s, y + 0.15 * s), (x + 0.18 * s, y + 0.15 * s), (x + 0.07 * s, y + 0.46 * s), (x - 0.07 * s, y + 0.46 * s)], color, 0.76)
    c.rectangle((x - 0.11 * s, y + 0.56 * s, x + 0.11 * s, y + 0.73 * s), WOOD)


def dog(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A dog from the side: long snout, hanging ear, raised tail, red collar."""
    f = c.facing * s
    c.line((x - 0.34 * f, y - 0.48 * s), (x - 0.54 * f, y - 0.82 * s), 0.1 * s, color)
    for dx, shade in ((-0.20, 0.72), (0.16, 0.72), (-0.32, 0.9), (0.28, 0.9)):
        left, right = sorted((x + dx * f - 0.06 * s, x + dx * f + 0.06 * s))
        c.rectangle((left, y - 0.36 * s, right, y), color, shade, radius=0.03 * s)
    c.rectangle((x - 0.40 * s, y - 0.60 * s, x + 0.36 * s, y - 0.27 * s), color, radius=0.15 * s)
    c.polygon([(x + 0.14 * f, y - 0.52 * s), (x + 0.30 * f, y - 0.86 * s), (x + 0.52 * f, y - 0.72 * s), (x + 0.36 * f, y - 0.36 * s)], color)
    c.ellipse((x + 0.42 * f, y - 0.82 * s), (0.2 * s, 0.18 * s), color)
    c.ellipse((x + 0.60 * f, y - 0.75 * s), (0.17 * s, 0.1 * s), color, 1.06)
    c.ellipse((x + 0.28 * f, y - 0.76 * s), (0.095 * s, 0.2 * s), color, 0.6)
    c.ellipse((x + 0.74 * f, y - 0.79 * s), (0.055 * s, 0.05 * s), DARK)
    eye = WHITE if sum(color) < 220 else DARK
    c.ellipse((x + 0.48 * f, y - 0.87 * s), (0.042 * s, 0.042 * s), eye)
    c.line((x + 0.21 * f, y - 0.56 * s), (x + 0.41 * f, y - 0.48 * s), 0.075 * s, (214, 40, 44))


def cat(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A sitting cat seen from the front: pointed ears, green eyes, tail around the side."""
    f = c.facing * s
    c.line((x + 0.20 * f, y - 0.09 * s), (x + 0.50 * f, y - 0.16 * s), 0.1 * s, color, 0.85)
    c.line((x + 0.50 * f, y - 0.16 * s), (x + 0.54 * f, y - 0.48 * s), 0.1 * s, color, 0.85)
    c.ellipse((x, y - 0.30 * s), (0.31 * s, 0.33 * s), color)
    for side in (-1, 1):
        c.ellipse((x + side * 0.13 * s, y - 0.04 * s), (0.12 * s, 0.07 * s), color, 1.08)
        c.polygon([(x + side * 0.04 * s, y - 0.90 * s), (x + side * 0.29 * s, y - 1.16 * s), (x + side * 0.32 * s, y - 0.74 * s)], color)
        c.polygon([(x + side * 0.14 * s, y - 0.92 * s), (x + side * 0.26 * s, y - 1.05 * s), (x + side * 0.27 * s, y - 0.86 * s)], (244, 160, 170))
    c.ellipse((x, y - 0.74 * s), (0.33 * s, 0.26 * s), color)
    for side in (-1, 1):
        c.ellipse((x + side * 0.14 * s, y - 0.78 * s), (0.085 * s, 0.09 * s), (196, 236, 90), lit=not c.is_night)
        c.ellipse((x + side * 0.14 * s, y - 0.78 * s), (0.035 * s, 0.08 * s), DARK)
    c.polygon([(x - 0.05 * s, y - 0.66 * s), (x + 0.05 * s, y - 0.66 * s), (x, y - 0.60 * s)], (240, 120, 132))


def ball(c: Canvas, x: float, y: float, s: float, color: Color) -> None:
    """A beach ball with a white segment (red on a white ball)."""
    r = 0.38 * s
    c.ellipse((x, y - r), (r, r), color)
    c.ellipse((x, y - r), (0.46 * r, r), WHITE if sum(color) < 720 else (226, 60, 60))
    c.ellipse((x, y - r), (0.17 * r, r), color)


Draw = Callable[[Canvas, float, float, float, Color], None]
DRAW: dict[str, Draw] = {
    "boat": boat,
    "house": house,
    "tree": tree,
    "car": car,
    "balloon": balloon,
    "dog": dog,
    "cat": cat,
    "ball": ball,
}

# Width of a medium object as a share of the picture.
SCALE = {
    "boat": 0.48,
    "house": 0.46,
    "tree": 0.48,
    "car": 0.46,
    "balloon": 0.43,
    "dog": 0.48,
    "cat": 0.43,
    "ball": 0.46,
}
