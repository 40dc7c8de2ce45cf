"""Which evaluations of the U-Net use the deep features of an earlier one."""

from dataclasses import dataclass

from sdrt import validation
from sdrt.request.options import Options

MAX_DEPTH = 100  # more than any U-Net has


@dataclass(frozen=True)
class FeatureReuse:
    """DeepCache (Ma et al. 2023, arXiv 2312.00858, section 3.3) with a uniform interval."""

    interval: int = 1
    """One evaluation of so many computes the whole U-Net; with 1 each does."""
    depth: int = 0
    """The skip connection at which features are kept, counted from the U-Net's output."""

    @property
    def is_on(self) -> bool:
        """Whether any evaluation uses features again."""
        return self.interval > 1

    def is_whole(self, index: int) -> bool:
        """Whether the evaluation of this number, from 0, computes the whole U-Net."""
        return index % self.interval == 0


def read_feature_reuse(options: Options, steps: int) -> FeatureReuse:
    """Read interval and depth; raises `UsageError` for values that cannot be.

    An interval above the number of steps would leave a single whole evaluation.
    """
    return FeatureReuse(
        validation.whole("cache_interval", options.get("cache_interval", 1), 1, steps),
        validation.whole("cache_depth", options.get("cache_depth", 0), 0, MAX_DEPTH),
    )
