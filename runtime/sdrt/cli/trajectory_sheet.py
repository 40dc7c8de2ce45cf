"""A sheet that shows a run: the model's estimate of the picture after some of its steps."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.images.grid import titled_grid
from sdrt.images.metadata import Sheet

COLUMNS = 6


@dataclass
class TrajectorySheet:
    """Keeps evenly spaced steps of a run, with the first and the last, and shows them."""

    columns: int = COLUMNS
    """How many steps are kept, two or more; of a run with fewer steps all are."""
    steps: list[Step] = field(default_factory=list)
    """The steps that were kept so far."""

    def add(self, step: Step) -> None:
        """Keep a step if it is one of the columns; call this for every step of the run."""
        spaced = np.linspace(0, step.count - 1, min(self.columns, step.count))
        if step.index in spaced.round():
            self.steps.append(step)

    def picture(self, run: Run) -> Image.Image:
        """Decode the estimates: a column for each kept step, a row for each image.

        The title of a column gives the step's number and the noise level after it.
        """
        decoded = [run.decode(step.denoised) for step in self.steps]
        largest = decoded[-1][0].size  # a second pass has larger pictures than the first
        columns = [[image.resize(largest) for image in column] for column in decoded]
        titles = [f"step {step.index + 1}\nsigma {step.sigma:.3g}" for step in self.steps]
        return titled_grid([image for row in zip(*columns, strict=True) for image in row], titles)

    def sheet(self, run: Run) -> Sheet:
        """The sheet's layout as its PNG file records it."""
        steps = [step.index + 1 for step in self.steps]
        return Sheet(len(steps), list(run.request.seeds), steps)
