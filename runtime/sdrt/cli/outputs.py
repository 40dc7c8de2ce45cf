"""The files that `sdrt generate` writes after a run."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sdrt.cli.generate_options import FileOptions
from sdrt.cli.trajectory_sheet import TrajectorySheet
from sdrt.errors import UsageError
from sdrt.generation.result import Result, numbered
from sdrt.generation.run import Run
from sdrt.images.png import check_target, save_png
from sdrt.request.request import Request


@dataclass(frozen=True)
class Outputs:
    """The pictures of a run and the sheets of them."""

    files: FileOptions
    with_parameters: bool
    """Whether the files hold the parameters that they were made with."""

    def pictures(self, request: Request) -> Path:
        """The path of the picture; several pictures get a number before its suffix."""
        return self.files.output or Path(f"sdrt-{request.seeds[0]}.png")

    def check(self, request: Request, others: list[Path]) -> None:
        """Check before the run that these files and `others` can be written.

        Raises `UsageError`, or `WriteError` without permission.
        """
        sheets = [path for path in (self.files.grid, self.files.trajectory) if path]
        targets = [*numbered(self.pictures(request), len(request.seeds)), *sheets, *others]
        for target in targets:
            check_target(target)
        ((path, times),) = Counter(target.absolute() for target in targets).most_common(1)
        if times > 1:
            raise UsageError(f"{times} pictures would be written to {path}; give each its own name")

    def write(self, run: Run, result: Result, trajectory: TrajectorySheet) -> list[Path]:
        """Write the pictures, then their sheets; returns all paths in this order."""
        paths = result.save(self.pictures(run.request), self.with_parameters)
        if self.files.grid:
            paths.append(result.save_grid(self.files.grid, with_parameters=self.with_parameters))
        if self.files.trajectory:
            parameters = result.parameters[0] if self.with_parameters else None
            picture, sheet = trajectory.picture(run), trajectory.sheet(run)
            paths.append(save_png(picture, self.files.trajectory, parameters, sheet))
        return paths
