"""The files that `sdrt generate` writes: where they go, and whether they can."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdrt.errors import UsageError
from sdrt.image import check_target
from sdrt.result import Result, numbered


@dataclass(frozen=True)
class Outputs:
    """Which files were asked for."""

    output: Path
    """Of the picture; several pictures get their number before the suffix."""
    grid: Path | None
    with_parameters: bool

    @classmethod
    def of(
        cls, seeds: Sequence[int], output: Path | None, grid: Path | None, no_metadata: bool
    ) -> "Outputs":
        """Complete what was asked for, and find out before the work whether it can be written.

        Raises `UsageError`, or `WriteError` without permission.
        """
        outputs = cls(output or Path(f"sdrt-{seeds[0]}.png"), grid, not no_metadata)
        outputs._check(len(seeds))
        return outputs

    def _check(self, pictures: int) -> None:
        targets = [*numbered(self.output, pictures), *([self.grid] if self.grid else [])]
        for target in targets:
            check_target(target)
        ((most, times),) = Counter(target.absolute() for target in targets).most_common(1)
        if times > 1:
            raise UsageError(f"{times} pictures would be written to {most}; give each its own name")

    def write(self, result: Result) -> list[Path]:
        """Write the pictures, then their sheets; gives all names in this order."""
        paths = result.save(self.output, self.with_parameters)
        if self.grid:
            paths.append(result.save_grid(self.grid, with_parameters=self.with_parameters))
        return paths
