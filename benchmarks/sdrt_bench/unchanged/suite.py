"""All cases, in the order in which they are recorded."""

from collections.abc import Sequence
from fnmatch import fnmatch

from sdrt_bench.unchanged.cases import Case, Command
from sdrt_bench.unchanged.hosts import HOSTS
from sdrt_bench.unchanged.library.__main__ import CASES as LIBRARY
from sdrt_bench.unchanged.pictures import PICTURES
from sdrt_bench.unchanged.records import EXPORTS, RECORDS, REFUSALS

SUITE = (
    *PICTURES,
    *(Case(f"python-{name}", "python", (Command((name,), "python"),)) for name in LIBRARY),
    *RECORDS,
    *REFUSALS,
    *HOSTS,
    *EXPORTS,
)


def chosen(only: Sequence[str], skip: Sequence[str]) -> list[Case]:
    """Cases whose name or group matches a pattern of `only`, or any if there is none, less `skip`.

    Patterns are those of the shell. Raises `ValueError` for one that matches nothing.
    """
    for pattern in (*only, *skip):
        if not any(_matches(case, pattern) for case in SUITE):
            groups = ", ".join(dict.fromkeys(case.group for case in SUITE))
            raise ValueError(f"no case and no group is called {pattern!r}; groups are: {groups}")
    return [
        case
        for case in SUITE
        if (not only or any(_matches(case, pattern) for pattern in only))
        and not any(_matches(case, pattern) for pattern in skip)
    ]


def _matches(case: Case, pattern: str) -> bool:
    return fnmatch(case.name, pattern) or fnmatch(case.group, pattern)
