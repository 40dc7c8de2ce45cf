"""A picture of a run: what the model aimed at after some of its steps, side by side."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.images.grid import titled_grid
from sdrt.images.metadata import Sheet

COLUMNS = 6


@dataclass
class Trajectory:
    """Keeps some of the steps that it is shown, evenly spaced, with the first and the last."""

    columns: int = COLUMNS
    """Two or more; a run of fewer steps has fewer."""
    steps: list[Step] = field(default_factory=list)

    def see(self, step: Step) -> None:
        """Take a step of a run; to be shown each of them."""
        spaced = np.linspace(0, step.count - 1, min(self.columns, step.count))
        if step.index in spaced.round():
            self.steps.append(step)

    def picture(self, run: Run) -> Image.Image:
        """Decode the guesses: a column for each step that was kept, a row for each image.

        Over each stand the step's number and the noise level that it leaves.
        """
        decoded = [run.decode(step.denoised) for step in self.steps]
        largest = decoded[-1][0].size  # a second pass has larger pictures than the first
        decoded = [[one.resize(largest) for one in column] for column in decoded]
        titles = [f"step {step.index + 1}\nsigma {step.sigma:.3g}" for step in self.steps]
        return titled_grid([image for row in zip(*decoded, strict=True) for image in row], titles)

    def sheet(self, run: Run) -> Sheet:
        """What `picture` shows, to be written beside it."""
        steps = [step.index + 1 for step in self.steps]
        return Sheet(len(steps), list(run.request.seeds), steps)
