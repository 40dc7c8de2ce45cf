"""Types of command-line options: sizes, points, files."""

from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)


class Size(click.ParamType[tuple[int, int]]):
    """WIDTHxHEIGHT in pixels."""

    name = "WxH"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the text; click turns a failure into a usage error."""
        width, _, height = str(value).lower().partition("x")
        if not (width.isdigit() and height.isdigit()):
            self.fail(f"{value!r} is not a size; expected for example 512x768", param, ctx)
        return int(width), int(height)


class Point(click.ParamType[tuple[int, int]]):
    """X,Y in pixels from the left and the top."""

    name = "X,Y"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the text; click turns a failure into a usage error."""
        x, _, y = str(value).partition(",")
        if not (x.isdigit() and y.isdigit()):
            self.fail(f"{value!r} is not a point; expected for example 0,0", param, ctx)
        return int(x), int(y)
