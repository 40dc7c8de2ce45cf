"""Options of a command as fields of frozen dataclasses, each of which is one argument of it."""

import functools
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any

import click

Command = Callable[..., None]
DECLARE = "declare"


def option(*names: str, **attributes: Any) -> Any:
    """Declare a field as an option: its names on the command line, and what click takes."""
    return field(metadata={DECLARE: lambda name: click.option(*names, name, **attributes)})


def argument(**attributes: Any) -> Any:
    """Declare a field as an argument, with what click takes."""
    return field(metadata={DECLARE: lambda name: click.argument(name, **attributes)})


def with_options(**groups: type) -> Callable[[Command], Command]:
    """Give a command the options of dataclasses, by the names of its parameters."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def call(**values: Any) -> None:
            command(
                **{
                    name: group(**{each.name: values[each.name] for each in fields(group)})
                    for name, group in groups.items()
                }
            )

        declared = [each for group in groups.values() for each in fields(group)]
        decorated: Command = call
        for each in reversed(declared):
            decorated = each.metadata[DECLARE](each.name)(decorated)
        return decorated

    return decorate
