"""The files that `sdrt generate` writes after a run: where they go, and whether they can."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sdrt.cli.trajectory_sheet import Trajectory
from sdrt.errors import UsageError
from sdrt.generation.result import Result, numbered
from sdrt.generation.run import Run
from sdrt.images.png import check_target, save_png
from sdrt.request.request import Request


@dataclass(frozen=True)
class Outputs:
    """Which files were asked for, by the options' names."""

    output: Path | None
    grid: Path | None
    trajectory: Path | None
    no_metadata: bool

    def pictures(self, request: Request) -> Path:
        """Where the picture goes; several pictures get their number before the suffix."""
        return self.output or Path(f"sdrt-{request.seeds[0]}.png")

    def check(self, request: Request, others: list[Path]) -> None:
        """Find out before the work whether all of it, and what others write, can be written.

        Raises `UsageError`, or `WriteError` without permission.
        """
        sheets = [path for path in (self.grid, self.trajectory) if path]
        targets = [*numbered(self.pictures(request), len(request.seeds)), *sheets, *others]
        for target in targets:
            check_target(target)
        ((most, times),) = Counter(target.absolute() for target in targets).most_common(1)
        if times > 1:
            raise UsageError(f"{times} pictures would be written to {most}; give each its own name")

    def write(self, run: Run, result: Result, trajectory: Trajectory) -> list[Path]:
        """Write the pictures, then their sheets; gives all names in this order."""
        has_parameters = not self.no_metadata
        paths = result.save(self.pictures(run.request), has_parameters)
        if self.grid:
            paths.append(result.save_grid(self.grid, with_parameters=has_parameters))
        if self.trajectory:
            first = result.parameters[0] if has_parameters else None
            picture = trajectory.picture(run)
            paths.append(save_png(picture, self.trajectory, first, trajectory.sheet(run)))
        return paths
