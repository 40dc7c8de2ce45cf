"""The search: coarse settings on a few prompts, then the neighbours of the best on all of them."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sdrt_bench.pareto import best_worth
from sdrt_bench.similarity import Pixels
from sdrt_bench.tune.costs import Clock, Costs
from sdrt_bench.tune.painting import Painter, judged
from sdrt_bench.tune.record import FEW, RecordFile, Result, as_points, front
from sdrt_bench.tune.setting import Setting
from sdrt_bench.tune.space import Space

DROP_DB = 3.0
"""A sampler and scheduler that never come this near to the front at their time are dropped."""
FAMILY_DROP_DB = 2 * DROP_DB
"""The same after the first number of steps, since others may suit them better."""
NEAR_DB = 0.3
"""A neighbour this near to the front of few prompts is painted on all of them."""
TRIAL = 2
"""After so many prompts a setting is given up that is far below the front already."""
FIRST_STAGE_SHARE = 0.6
SAVE_EVERY_S = 10.0


class BudgetSpent(Exception):
    """The time of a stage is over; no failure, and never shown."""


@dataclass
class Budget:
    """Seconds of a search, from now on."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def left(self) -> float:
        """Seconds that are left; negative once more than the budget is spent."""
        return self.seconds - (self.clock() - self.started)


@dataclass
class Search:
    """Tries settings while there is time, and keeps every result in the record."""

    painter: Painter
    references: Sequence[Pixels]
    file: RecordFile
    clock: Clock
    costs: Costs
    space: Space
    budget: Budget
    tell: Callable[[str], None]
    """It is given a line about what is being done."""
    rounds: int = 1
    """So many rounds of the front are to be measured afterwards, for which time is kept."""
    _saved: float = 0.0
    _share: float = 1.0

    @property
    def few(self) -> int:
        """How many prompts the first stage paints."""
        return min(FEW, self.all)

    @property
    def all(self) -> int:
        """How many prompts there are."""
        return len(self.painter.prompts)

    def run(self) -> None:
        """Try settings until none is left or the budget is spent; results are on disk after it."""
        try:
            for stage, share in ((self._coarse, FIRST_STAGE_SHARE), (self._fine, 1.0)):
                self._share = share
                try:
                    stage()
                except BudgetSpent:
                    continue
        finally:
            self.file.save()

    def _coarse(self) -> None:
        """Try all samplers and schedulers, then the good ones with other numbers of steps."""
        families = self.space.families()
        bound = FAMILY_DROP_DB
        self._paint_all("coarse search", families, self.few, bound)
        nearest = {each: self._below(each, self.few) for each in families}
        for steps in self.space.steps[1:]:
            kept = [each for each in families if nearest[each] <= bound]
            settings = {each: each.model_copy(update={"steps": steps}) for each in kept}
            self._paint_all("coarse search", settings.values(), self.few, bound)
            for each, setting in settings.items():
                nearest[each] = min(nearest[each], self._below(setting, self.few))
            bound = DROP_DB

    def _fine(self) -> None:
        """Paint the front on all prompts, and its neighbours, as long as they improve it."""
        # First what has to be beaten, so that even a short search finds nothing worse.
        known = [self.space.peers_default, *self.space.shipped]
        self._paint_all("front", known, self.all)
        self._paint_all("front", self._front(self.few), self.all)
        self._paint_all("plain settings", self.space.plain(), self.all)
        tried: set[Setting] = set()
        while True:
            best = self._front(self.all)
            rows = [deque(self.space.neighbours(setting)) for setting in best]
            settings = [each for each in _in_turn(rows) if each not in tried]
            if not settings:
                return
            for setting in settings:
                tried.add(setting)
                self._paint_all("neighbours", [setting], self.few, DROP_DB)
                if self._below(setting, self.few) <= NEAR_DB:
                    self._paint_all("neighbours", [setting], self.all)
            # What is new on the front of few prompts was not painted on all where it came late.
            self._paint_all("front", self._front(self.few), self.all)

    def _front(self, count: int) -> list[Setting]:
        return [result.setting for result in front(self.file.results, count)]

    def _below(self, setting: Setting, count: int) -> float:
        """How far a setting is below the front of the first prompts at its time, in dB.

        Infinite for what was given up before so many prompts.
        """
        result = self.file.result(setting)
        if result is None or len(result.psnr_db) < count:
            return math.inf
        others = as_points(self.file.results, count)
        return best_worth(others, result.predicted_s) - result.closeness(count).median

    def _paint_all(
        self, what: str, settings: Iterable[Setting], count: int, bound_db: float = math.inf
    ) -> None:
        """Paint so many prompts with each setting, and give up early what is below the bound."""
        for setting in settings:
            self.tell(f"{what}: {setting.label}")
            result = self.file.result(setting) or self._unpainted(setting)
            while len(result.psnr_db) < count:
                if len(result.psnr_db) == TRIAL and self._below(setting, TRIAL) > bound_db:
                    break
                if self.budget.left - self._reserve() < (1 - self._share) * self.budget.seconds:
                    raise BudgetSpent
                result = self._painted(result)
                self.file.put(result)
                self._save_sometimes()

    def _reserve(self) -> float:
        """Seconds that measuring the front is going to take."""
        count = self.all if self._share == 1 else self.few
        best = front(self.file.results, count)
        return self.rounds * sum(result.predicted_s for result in best)

    def _unpainted(self, setting: Setting) -> Result:
        kinds = self.clock.evaluations(setting)
        return Result(
            setting=setting, evaluations=len(kinds), predicted_s=self.costs.seconds(kinds)
        )

    def _painted(self, result: Result) -> Result:
        """The result with the next prompt's picture."""
        index = len(result.psnr_db)
        image = self.painter.paint(result.setting, index)
        distance, shown = judged(self.painter.prompts[index], self.references[index], image)
        return result.model_copy(
            update={
                "psnr_db": (*result.psnr_db, distance),
                "shown": result.shown if shown is None else (*result.shown, shown),
            }
        )

    def _save_sometimes(self) -> None:
        """Save what an unexpected end would cost too much; writing takes longer than a picture."""
        now = time.monotonic()
        if now - self._saved > SAVE_EVERY_S:
            self.file.save()
            self._saved = now


def _in_turn(rows: Sequence[deque[Setting]]) -> list[Setting]:
    """The first of each row, then the second of each, and so on; each once."""
    ordered: dict[Setting, None] = {}
    while any(rows):
        ordered.update({row.popleft(): None for row in rows if row})
    return list(ordered)
