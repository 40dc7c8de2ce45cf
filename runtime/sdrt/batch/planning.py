"""How many machines a number of pictures needs, from what this one does in an hour."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from sdrt.batch.maker import Failed, Load
from sdrt.batch.rows import Row
from sdrt.batch.workers import Workers
from sdrt.cores import Placement
from sdrt.errors import SdrtError, UsageError


@dataclass(frozen=True)
class Setting:
    """Processes side by side, and threads for each."""

    workers: int
    threads: int


@dataclass(frozen=True)
class Measured:
    """What a machine does with a setting."""

    setting: Setting
    seconds: float
    """From asking for pictures of a row to having them; the median."""
    start_s: float
    """What a row took longer in a process that had just started: loading and compiling."""
    pictures: int
    """Pictures of a row."""
    picture_bytes: int
    """Size of a picture's file; the mean."""

    @property
    def per_second(self) -> float:
        """Pictures a second of the whole machine."""
        return self.setting.workers * self.pictures / self.seconds


@dataclass(frozen=True)
class Work:
    """What is to be made, and what has to be carried for it."""

    images: int
    picture_bytes: int
    model_bytes: int
    machine_rate: float
    """Bytes a second that one machine gets from the store of models and pictures."""
    store_rate: float
    """Bytes a second that the store gives, or takes, for all machines together."""


@dataclass(frozen=True)
class Fleet:
    """A number of machines at work, and how long each part takes in seconds."""

    machines: int
    fetching: float
    """Until every machine has the model."""
    starting: float
    computing: float
    writing: float
    """What the store needs to take all pictures, while they are computed."""

    @property
    def seconds(self) -> float:
        """From nothing to the last picture."""
        return self.fetching + self.starting + max(self.computing, self.writing)

    @property
    def bound(self) -> str:
        """What takes most of the time."""
        parts = {
            "computing": self.computing,
            "fetching the model": self.fetching,
            "starting": self.starting,
            "writing pictures": self.writing,
        }
        return max(parts, key=lambda name: parts[name])


def settings(place: Placement) -> Iterator[tuple[Setting, Sequence[Placement]]]:
    """All cores for one process, and each way to divide them evenly, with the cores of each."""
    yield Setting(1, place.threads), [place]
    cores = len(place.usable)
    for workers in range(2, cores + 1):
        if cores % workers == 0:
            shares = place.shares(workers)
            yield Setting(workers, min(share.threads for share in shares)), shares


def measure(
    setting: Setting, places: Sequence[Placement], load: Load, rows: Sequence[Row]
) -> Measured:
    """Make rows in fresh processes, of which the first of each only warms it up.

    `load` has to open models with the setting's threads. Raises `SdrtError` for a row that fails.
    """
    first: list[float] = []
    later: list[float] = []
    sizes: list[int] = []
    for row, outcome in Workers(setting.workers, load, placements=places).outcomes(rows):
        if isinstance(outcome, Failed):
            raise SdrtError(f"{setting.workers} x {setting.threads} threads: {outcome.message}")
        sizes += map(len, outcome.pictures)
        is_first = row.number < setting.workers
        (first if is_first else later).append(outcome.seconds)
    seconds = median(later)
    return Measured(
        setting,
        seconds,
        max(0.0, max(first) - seconds),
        len(sizes) // len(rows),
        sum(sizes) // len(sizes),
    )


def fleet(machines: int, work: Work, measured: Measured) -> Fleet:
    """How long so many machines like this one are at work."""
    fetching = max(
        work.model_bytes / work.machine_rate, machines * work.model_bytes / work.store_rate
    )
    at_once = measured.setting.workers * measured.pictures
    rounds = math.ceil(math.ceil(work.images / machines) / at_once)
    return Fleet(
        machines,
        fetching,
        measured.start_s,
        rounds * measured.seconds,
        work.images * work.picture_bytes / work.store_rate,
    )


def fewest_machines(within_s: float, work: Work, measured: Measured) -> Fleet:
    """The fewest machines that are done in time; raises `UsageError` where no number is."""
    machines = 1
    while True:
        found = fleet(machines, work, measured)
        if found.seconds <= within_s:
            return found
        left = within_s - found.fetching - found.starting
        if left < max(measured.seconds, found.writing):
            raise UsageError(
                f"no number of machines makes {work.images} pictures in {within_s / 3600:.3g} "
                f"hours: {machines} would take {found.seconds / 3600:.3g}, most of it for "
                f"{found.bound}"
            )
        most = int(left / measured.seconds) * measured.setting.workers * measured.pictures
        machines = max(machines + 1, math.ceil(work.images / most))
