"""Groups of command-line options: what a command gets, and whether it is what the types say."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import click
import pytest
from click.testing import CliRunner

from sdrt.cli.conformance import conformance
from sdrt.cli.generate import generate
from sdrt.cli.option_types import Point, Size, option, option_group, values
from sdrt.cli.verify import verify

PAIR = tuple[int, int]


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int] | None = option("--size", type=Size())
    names: tuple[str, ...] = option("-n", "--name", multiple=True)


@dataclass(frozen=True, kw_only=True)
class Outer:
    first: bool = option("--first", is_flag=True, help="The first.")
    inner: Inner
    last: int = option("--last", type=int, default=3)


def paint(*arguments: str) -> Outer:
    """What a command gets for these arguments."""
    calls: list[Outer] = []

    @click.command()
    @click.argument("prompt")
    @option_group("options", Outer)
    def command(prompt: str, options: Outer) -> None:
        assert prompt == "x"
        calls.append(options)

    CliRunner().invoke(command, ["x", *arguments], catch_exceptions=False)
    return calls[0]


def test_a_command_gets_a_group_with_the_groups_inside() -> None:
    assert paint() == Outer(first=False, inner=Inner(None, ()), last=3)
    options = paint("--last", "5", "-n", "a", "--size", "8x16", "--name", "b", "--first")
    assert options == Outer(first=True, inner=Inner((8, 16), ("a", "b")), last=5)
    assert values(options) == {"first": True, "last": 5}
    assert values(options.inner) == {"size": (8, 16), "names": ("a", "b")}


def test_help_shows_options_in_the_order_of_the_fields() -> None:
    @click.command()
    @option_group("options", Outer)
    @click.option("--other")
    def command(options: Outer, other: str | None) -> None: ...

    names = [parameter.name for parameter in command.params]
    assert names == ["first", "size", "names", "last", "other"]


def test_a_field_that_is_neither_option_nor_group_is_refused() -> None:
    @dataclass(frozen=True)
    class Wrong:
        width: int

    with pytest.raises(AssertionError, match="width is neither an option nor a group"):
        option_group("options", Wrong)(lambda options: None)


@pytest.mark.parametrize("command", [generate, verify, conformance], ids=lambda c: c.name)
def test_options_have_the_types_of_their_fields(command: click.Command) -> None:
    group = get_type_hints(command.callback, localns={"Precision": str})["options"]
    declared = dict(_declared(group))
    defaults = command.make_context("sdrt", ["x"]).params
    options = [each for each in command.params if each.name in declared]
    types = {str(each.name): _type(each, defaults[str(each.name)]) for each in options}
    assert types == declared


def _declared(group: type) -> "list[tuple[str, Any]]":
    hints = get_type_hints(group, localns={"Precision": str})
    pairs: list[tuple[str, Any]] = []
    for each in fields(group):
        if each.metadata:
            pairs.append((each.name, hints[each.name]))
        else:
            pairs += _declared(hints[each.name])
    return pairs


def _type(parameter: click.Parameter, default: object) -> Any:
    """What click gives a command for an option: a value of its type, or None without a default."""
    python_types: list[tuple[type, Any]] = [
        (Size, PAIR),
        (Point, PAIR),
        (click.Path, Path),
        (click.types.IntParamType, int),
        (click.types.FloatParamType, float),
        (click.types.BoolParamType, bool),
        (click.Choice, str),
        (click.types.StringParamType, str),
    ]
    python_type = next(python for kind, python in python_types if isinstance(parameter.type, kind))
    if parameter.multiple:
        return tuple.__class_getitem__((python_type, ...))
    return python_type | None if default is None else python_type


def test_the_groups_of_generate_cover_every_option_of_the_python_interface() -> None:
    """But for what takes arrays, and for the part of a run, which --refiner gives."""
    from sdrt.request.options import Options

    group = get_type_hints(generate.callback, localns={"Precision": str})["options"]
    missing = set(Options.__annotations__) - dict(_declared(group)).keys()
    arrays = {name for name in missing if name.endswith("_embeds") or name == "latents"}
    negative = {name for name in missing if name.startswith("negative_")}
    assert missing - arrays - negative == {"denoising_start", "denoising_end"}
