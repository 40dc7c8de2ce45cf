"""What a job may ask for at most, held against it before anything is allocated."""

from dataclasses import dataclass

from sdrt.errors import UsageError
from sdrt.generation.run import Run
from sdrt.request.options import Options


@dataclass(frozen=True)
class Limits:
    """Bounds of one job, and of the queue."""

    max_queue: int = 16
    """How many jobs may wait."""
    max_pixels: int = 2**21
    """Width times height of a picture, of an input too; with hires, of the second pass."""
    max_steps: int = 150
    """Steps of all passes."""
    max_images: int = 8
    """Pictures of one job."""
    max_prompt: int = 8000
    """Characters of each prompt."""
    max_body: int = 32 * 2**20
    """Bytes of a request."""
    job_timeout: float = 3600
    """Seconds that a job may run."""

    def check_options(self, options: Options) -> None:
        """Refuse what can be refused by the options alone; raises `UsageError`."""
        width, height = options.get("width", 0), options.get("height", 0)
        self._check("pixels", "width", width * height, self.max_pixels)
        images = options.get("num_images_per_prompt", 1)
        self._check("pictures", "num_images_per_prompt", images, self.max_images)
        for name in ("num_inference_steps", "hires_steps"):
            steps = options.get(name, 1)
            self._check("steps", name, steps if isinstance(steps, int) else 0, self.max_steps)

    def check_run(self, run: Run) -> None:
        """Refuse a run that is too long or too large; raises `UsageError`."""
        size = run.request.hires or run.request  # hires only enlarges
        self._check("pixels", "width", size.width * size.height, self.max_pixels)
        self._check("steps", "num_inference_steps", len(run), self.max_steps)

    def check_prompt(self, name: str, prompt: str) -> None:
        """Refuse a prompt that is too long; raises `UsageError`."""
        self._check("characters", name, len(prompt), self.max_prompt)

    def _check(self, what: str, option: str, asked: int, allowed: int) -> None:
        if asked > allowed:
            raise UsageError(
                f"the job asks for {asked} {what}; this server allows {allowed}", option
            )
