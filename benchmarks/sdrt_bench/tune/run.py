"""A search from beginning to end: costs, converged pictures, settings, times of the front."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from sdrt import machine
from sdrt.cores import placement
from sdrt.diagnostics.verify import run_network, seeded_feeds
from sdrt.errors import UnsupportedError, UsageError
from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from sdrt.request.resolve import check_prompt_alone
from sdrt.sampling.samplers.registry import SAMPLERS
from sdrt.version import __version__
from sdrt_bench.compare.run import Watch
from sdrt_bench.precision_check import check_executed
from sdrt_bench.prompts import Prompt
from sdrt_bench.similarity import Pixels
from sdrt_bench.tune.best import balanced, peers_default
from sdrt_bench.tune.costs import ROUNDS, Clock, Costs
from sdrt_bench.tune.painting import REFERENCES, Painter, References, converged, paint
from sdrt_bench.tune.record import Identity, RecordFile, TuneRecord, front
from sdrt_bench.tune.search import Budget, Search
from sdrt_bench.tune.space import Space


def silent(_: str) -> None:
    """Tell nobody what is being done."""


@dataclass(frozen=True)
class Task:
    """What is searched for, and where its results are kept."""

    model: Pipeline
    """The model that paints the pictures."""
    timed: Pipeline
    """The model whose time counts, which may be the same."""
    open_reference: Callable[[], Pipeline]
    """Opens the model in fp32, for the converged pictures."""
    prompts: Sequence[Prompt]
    folder: Path
    """The record and the converged pictures are in this folder."""
    seed: int = 0
    options: Options | None = None
    """Size and guidance, by default the model's own."""
    watch: Watch = nullcontext
    """It is given each run and hands out the steps that are to be gone through."""
    tell: Callable[[str], None] = silent
    """It is given a line about what is being done."""

    @property
    def completed(self) -> Options:
        """Size and guidance with the model's defaults."""
        request = self.model.start("", **(self.options or {})).request
        return {
            **(self.options or {}),
            "width": request.width,
            "height": request.height,
            "guidance_scale": request.guidance.scale,
        }

    @property
    def timed_options(self) -> Options:
        """The same for the timed model, which has a size of its own if it is another one."""
        options = self.completed
        if self.timed is self.model:
            return options
        return {"guidance_scale": options["guidance_scale"]}


def tune(task: Task, budget: Budget, space: Space | None = None) -> TuneRecord:
    """Search until nothing is left to try or the budget is spent; the record is on disk then.

    A folder that has a record already is gone on from. Raises `UsageError` for a record of another
    search, and where the budget was spent before there is anything to report; `UnsupportedError`
    for models that cannot be searched.
    """
    check(task)
    options = task.completed
    file = RecordFile(task.folder, identity_of(task))
    clock = Clock(task.timed, task.timed_options, task.watch)
    chosen = space or Space.of([task.model, task.timed], options)
    costs = known_costs(task, file, clock, "cache_interval" in chosen.tricks)
    if task.timed is not task.model:
        task.timed.release()
    painter = Painter(task.model, task.prompts, task.seed, options, task.watch)
    references = make_references(task, painter, file, budget)
    search = Search(
        painter, references, file, clock, costs, chosen, budget, task.tell, rounds=ROUNDS
    )
    search.run()
    if not file.record.prompts:
        raise _spent(budget, f"no setting was tried on {search.few} prompts")
    if task.timed is not task.model:
        task.model.release()
    measure_front(task, file, clock, budget)
    return file.record


def check(task: Task) -> None:
    """Check before the work that a search makes sense.

    Raises `UsageError` without a prompt, `UnsupportedError` for models that take a picture or were
    distilled for few steps.
    """
    if not task.prompts:
        raise UsageError("there is no prompt; expected one or more")
    for pipe in (task.model, task.timed):
        check_prompt_alone(pipe.artifact.manifest, "a search has none to give")
        defaults = pipe.artifact.manifest.defaults
        if (
            SAMPLERS[defaults.sampler].is_consistent
            or SAMPLERS[defaults.sampler].grid == "distilled"
        ):
            raise UnsupportedError(
                f"{pipe.artifact.manifest.name!r} was distilled for {defaults.sampler}, whose "
                "pictures converge to nothing; expected a model for any sampler"
            )
    for seed in (task.seed, task.seed + len(task.prompts) - 1):
        seeded: Options = {**task.completed, "seed": seed}
        task.model.start("", **seeded)  # raises for a seed that cannot be


def identity_of(task: Task) -> Identity:
    """What has to be the same for two searches to share their results."""
    model, timed, options = task.model, task.timed, task.completed
    executed = {id(pipe): _executed(pipe) for pipe in (model, timed)}
    setting = converged()
    request = model.start("", **options).request
    return Identity(
        version=__version__,
        model=model.manifest.name,
        model_hash=model.artifact.hash,
        backend=model.backend.name,
        executed_precision=executed[id(model)],
        timed_model=timed.manifest.name,
        timed_model_hash=timed.artifact.hash,
        timed_precision=executed[id(timed)],
        processor=machine.processor(),
        cores=len(placement().usable),
        threads=model.backend.threads,
        width=options["width"],
        height=options["height"],
        guidance_scale=options["guidance_scale"],
        spacing=request.sampler_settings.spacing,
        seed=task.seed,
        prompts=tuple(prompt.text for prompt in task.prompts),
        reference=f"{setting.steps} steps of {setting.sampler} in fp32",
    )


def known_costs(task: Task, file: RecordFile, clock: Clock, has_cache: bool) -> Costs:
    """Give the record's costs, measured anew where they lack a kind of evaluation.

    Then all results are predicted anew, so that their times can be compared.
    """
    costs = file.record.costs
    if costs is None or not clock.kinds(has_cache) <= costs.evaluation_s.keys():
        task.tell("costs of a picture's parts")
        costs = clock.measure_costs(has_cache)
        for result in file.results:
            seconds = costs.seconds(clock.evaluations(result.setting))
            file.put(result.model_copy(update={"predicted_s": seconds}))
        file.change(costs=costs)
        file.save()
    return costs


def make_references(task: Task, painter: Painter, file: RecordFile, budget: Budget) -> list[Pixels]:
    """Read the converged pictures, and paint those that are missing.

    Raises `UsageError` where the budget is spent first; those that are there are kept.
    """
    folder = References(task.folder / REFERENCES)
    hashes = list(file.record.references)
    pictures: list[Pixels] = []
    pipe: Pipeline | None = None
    for index in range(len(task.prompts)):
        known = folder.read(index, hashes[index]) if index < len(hashes) else None
        if known is None:
            if budget.left <= 0:
                raise _spent(budget, f"{index} of {len(task.prompts)} converged pictures are there")
            if pipe is None:
                pipe = task.open_reference()
                check_executed("converged pictures", pipe.artifact, pipe.backend)
            task.tell(f"converged picture {index + 1} of {len(task.prompts)}")
            hashes[index:] = [
                folder.write(index, paint(pipe, painter, converged(), index)),
                *hashes[index + 1 :],
            ]
            file.change(references=tuple(hashes))
            file.save()
            known = folder.read(index, hashes[index])
            assert known is not None
        pictures.append(known)
    if pipe is not None:
        pipe.release()
    return pictures


def measure_front(task: Task, file: RecordFile, clock: Clock, budget: Budget) -> None:
    """Time whole pictures of the best settings, taking turns, once or more as the budget allows."""
    record = file.record
    chosen = {result.setting: result for result in front(record.results, record.prompts)}
    for result in (file.result(peers_default(record)), balanced(record)):
        if result is not None and len(result.psnr_db) >= record.prompts:
            chosen[result.setting] = result
    seconds: dict[object, list[float]] = {setting: [] for setting in chosen}
    kinds = {frozenset(clock.evaluations(setting)): setting for setting in chosen}
    for setting in kinds.values():  # to warm up every kind of evaluation
        clock.seconds(setting)
    for turn in range(ROUNDS):
        needed = sum(result.predicted_s for result in chosen.values())
        if turn and budget.left < needed:
            break
        for setting in chosen:
            task.tell(f"time, round {turn + 1} of {ROUNDS}: {setting.label}")
            seconds[setting].append(clock.seconds(setting))
    # Times of an earlier session were not taken in turns with these.
    for result in file.results:
        measured = tuple(seconds.get(result.setting, ()))
        file.put(result.model_copy(update={"measured_s": measured}))
    file.save()


def _executed(pipe: Pipeline) -> str:
    """The precision that a model's U-Net executes."""
    feeds = [seeded_feeds(pipe.artifact, "unet")]
    return run_network(pipe.artifact, "unet", pipe.backend, feeds).executed


def _spent(budget: Budget, done: str) -> UsageError:
    return UsageError(
        f"the budget of {budget.seconds / 60:g} minutes was spent: {done}; the same command goes "
        "on from there, and --budget gives it more time"
    )
