"""A comparison: the same work on both sides, figures of every prompt, pictures of some."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdrt
from sdrt.arrays import Array
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.errors import UnsupportedError, UsageError, WriteError
from sdrt.generation.result import Step
from sdrt.generation.run import Run
from sdrt.pipeline import Pipeline
from sdrt_bench.compare.comparison import ModelComparison
from sdrt_bench.compare.pictures import (
    FILES,
    PLOT,
    SHEET,
    psnr_over_steps,
    side_by_side,
    spaced_pairs,
    write_pictures,
)
from sdrt_bench.compare.run import KEPT, compare, complete
from sdrt_bench.output_folder import check_folder
from sdrt_bench.prompts import Prompt, choose_prompts
from sdrt_bench.similarity import latent_psnr_db, psnr_db, ssim

SMALL: Any = {"width": 64, "height": 64, "num_inference_steps": 3}
PROMPTS = [Prompt("a boat"), Prompt("a cat on the grass"), Prompt("a dog by night")]


class Network:
    """All networks of the embedded model's shapes; `error` is added to what the U-Net says."""

    def __init__(self, error: float = 0.0) -> None:
        self.error = error

    def __call__(self, name: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        if name == "text_encoder":
            ids = feeds["input_ids"].astype(np.float32)
            return {"last_hidden_state": np.repeat(ids[:, :, None] / 600, 128, axis=2)}
        if name == "unet":
            states = feeds["encoder_hidden_states"].mean(axis=2)
            level = (states * np.linspace(0, 2, states.shape[1], dtype=np.float32)).mean(axis=1)
            sample = feeds["sample"]
            wave = np.sin(np.arange(sample.size, dtype=np.float32)).reshape(sample.shape)
            return {"out_sample": np.tanh(sample) + level[:, None, None, None] + self.error * wave}
        picture = feeds["latent_sample"][:, :3].repeat(8, axis=2).repeat(8, axis=3)
        return {"sample": np.tanh(picture / 20)}


def pipeline(artifact: Artifact, error: float = 0.0) -> Pipeline:
    return Pipeline(artifact, FakeBackend(Network(error)), KEPT)


def changed(artifact: Artifact, **changes: Any) -> Artifact:
    """The artifact, but for some fields of its manifest."""
    return Artifact(artifact.root, artifact.manifest.model_copy(update=changes))


@pytest.fixture(scope="module")
def comparison(demo: Artifact) -> ModelComparison:
    return compare(pipeline(demo), pipeline(demo, 0.02), PROMPTS, seed=5, options=SMALL)


def test_each_prompt_is_painted_on_both_sides_with_its_seed(
    demo: Artifact, comparison: ModelComparison
) -> None:
    assert [(pair.prompt, pair.seed) for pair in comparison.pairs] == [
        ("a boat", 5),
        ("a cat on the grass", 6),
        ("a dog by night", 7),
    ]
    for pair in comparison.pairs:
        for picture, error in zip(pair.pictures, (0.0, 0.02), strict=True):
            alone = pipeline(demo, error)(pair.prompt, seed=pair.seed, **SMALL).images[0]
            np.testing.assert_array_equal(picture, np.asarray(alone))


def test_figures_are_those_of_the_steps_and_the_pictures(
    demo: Artifact, comparison: ModelComparison
) -> None:
    pair = comparison.pairs[1]
    runs = [pipeline(demo, error).start(pair.prompt, seed=6, **SMALL) for error in (0.0, 0.02)]
    steps = zip(*runs, strict=True)
    assert pair.latent_psnr_db == [latent_psnr_db(a.latents, b.latents) for a, b in steps]
    assert pair.psnr_db == psnr_db(*pair.pictures)
    assert pair.ssim == ssim(*pair.pictures)
    assert 10 < pair.psnr_db < 80
    ordered = sorted(pair.psnr_db for pair in comparison.pairs)
    assert (comparison.psnr_db.min, comparison.psnr_db.median, comparison.psnr_db.max) == tuple(
        ordered
    )
    assert len(comparison.latent_psnr_db) == 3


def test_a_model_is_equal_to_itself_and_the_record_is_json(demo: Artifact) -> None:
    same = compare(pipeline(demo), pipeline(demo), PROMPTS[:1], options=SMALL)
    assert same.pairs[0].latent_psnr_db == [math.inf] * 3
    record = json.loads(json.dumps(same.to_record(), allow_nan=False))
    assert record["psnr_db"] == dict.fromkeys(("min", "p10", "median", "p90", "max"))
    assert record["pairs"][0]["latent_psnr_db"] == [None] * 3
    assert record["pairs"][0]["ssim"] == pytest.approx(1)
    assert "equal" in same.to_text()
    assert "1 prompt, seed 0; 64x64" in same.to_text()
    assert psnr_over_steps(same).size[0] > 600


def test_the_record_says_what_was_executed_and_with_which_settings(
    comparison: ModelComparison,
) -> None:
    record = comparison.to_record()
    assert (record["a"]["backend"], record["a"]["executed_precision"]) == ("fake", "bf16")
    assert record["a"]["stored_precision"] == "bf16"
    assert (record["settings"]["width"], record["settings"]["num_inference_steps"]) == (64, 3)
    assert record["settings"]["sampler"] == "dpm++2m"
    assert record["prompts"] == len(record["pairs"]) == 3
    assert record["accuracy"] is None
    assert record["pairs"][2]["psnr_db"] == comparison.pairs[2].psnr_db


def test_only_one_side_is_in_memory_at_a_time(demo: Artifact) -> None:
    a, b = pipeline(demo), pipeline(demo)
    loaded: list[tuple[bool, bool]] = []

    @contextmanager
    def watch(run: Run) -> Iterator[Iterator[Step]]:
        yield iter(run)
        loaded.append((bool(a.loaded), bool(b.loaded)))

    compare(a, b, PROMPTS[:2], options=SMALL, watch=watch)
    assert loaded == [(True, False)] * 2 + [(False, True)] * 2
    assert a.loaded == b.loaded == set()
    # Each network once, and not once for each prompt.
    assert sorted(a.backend.opened) == ["text_encoder", "unet", "vae_decoder"]  # type: ignore[attr-defined]


def test_what_is_not_said_comes_from_a(demo: Artifact) -> None:
    defaults = demo.manifest.defaults.model_copy(
        update={"num_inference_steps": 7, "sampler": "euler", "guidance_scale": 2.0}
    )
    other = pipeline(changed(demo, defaults=defaults))
    forth, back = complete(pipeline(demo), other, {}), complete(other, pipeline(demo), {})
    assert (forth["num_inference_steps"], forth["sampler"]) == (20, "dpm++2m")
    assert (back["num_inference_steps"], back["sampler"]) == (7, "euler")
    assert complete(other, pipeline(demo), {"sampler": "heun"})["sampler"] == "heun"


@pytest.mark.parametrize(
    ("field", "changes", "words"),
    [
        ("latent", {"scale": 0.18215}, "latents of A and B do not fit.*scaled by 0.18215"),
        ("latent", {"downscale": 4}, "1/4 of the size"),
        ("defaults", {"width": 512, "height": 512}, "A paints 128x128 .* B 512x512; .*--size"),
        ("schedule", {"beta_end": 0.02}, "B goes another way than A"),
    ],
)
def test_models_that_do_not_fit_are_refused_before_the_work(
    demo: Artifact, field: str, changes: dict[str, Any], words: str
) -> None:
    part = getattr(demo.manifest, field).model_copy(update=changes)
    a, b = pipeline(demo), pipeline(changed(demo, **{field: part}))
    with pytest.raises(UsageError, match=words):
        compare(a, b, PROMPTS)
    assert a.backend.opened == []  # type: ignore[attr-defined]


def test_other_default_sizes_fit_once_a_size_is_given(demo: Artifact) -> None:
    larger = demo.manifest.defaults.model_copy(update={"width": 512, "height": 512})
    options = complete(pipeline(demo), pipeline(changed(demo, defaults=larger)), SMALL)
    assert (options["width"], options["height"]) == (64, 64)


def test_another_precision_than_was_asked_for_is_an_error(demo: Artifact) -> None:
    a, b = pipeline(demo), pipeline(demo)
    b.backend.precision = "bf16"  # type: ignore[misc]
    b.backend.executes = "fp32"  # type: ignore[attr-defined]
    with pytest.raises(UnsupportedError, match="^B: fake was asked for bf16 and executes fp32"):
        compare(a, b, PROMPTS, options=SMALL)
    assert a.backend.opened == []  # type: ignore[attr-defined]


def test_a_seed_beyond_the_last_is_refused_before_the_work(demo: Artifact) -> None:
    a = pipeline(demo)
    with pytest.raises(UsageError, match="seed is"):
        compare(a, pipeline(demo), PROMPTS, seed=2**64 - 2, options=SMALL)
    assert a.backend.opened == []  # type: ignore[attr-defined]


def test_accuracy_is_read_off_the_pictures_of_both_sides(demo: Artifact) -> None:
    """Judges that know which picture is A's: its first answer is right, B's are all."""
    references = compare(pipeline(demo), pipeline(demo, 0.5), PROMPTS, options=SMALL).pairs

    def judged(index: int) -> Prompt:
        ours = references[index].pictures[0]
        return replace(
            PROMPTS[index],
            judge=lambda picture: {
                "time": True,
                "color": index == 0 or not np.array_equal(picture, ours),
            },
        )

    prompts = [judged(i) for i in range(3)]
    outcome = compare(pipeline(demo), pipeline(demo, 0.5), prompts, options=SMALL)
    assert outcome.accuracy is not None
    ours, theirs = outcome.accuracy
    assert (ours["all_attributes"], ours["whole_prompt"]) == pytest.approx((4 / 6, 1 / 3))
    assert theirs == {"time": 1, "color": 1, "all_attributes": 1, "whole_prompt": 1}
    assert outcome.to_record()["pairs"][1]["shown"]["a"] == {"time": True, "color": False}
    assert "whole prompts            33.3 %  100.0 %    +66.7" in outcome.to_text()


@pytest.mark.slow
def test_the_embedded_model_paints_what_its_prompts_say(demo: Artifact) -> None:
    """Both engines in fp32: the same pictures but for rounding, judged the same."""
    a, b = (
        sdrt.load(backend=name, precision="fp32", keep=KEPT) for name in ("openvino", "onnxruntime")
    )
    prompts = choose_prompts("3", [demo.manifest] * 2, 128, 128)
    outcome = compare(a, b, prompts, options={"num_inference_steps": 12})
    assert outcome.psnr_db.min > 50
    assert outcome.ssim.min > 0.99
    assert min(spread.min for spread in outcome.latent_psnr_db) > 60
    assert outcome.accuracy is not None
    assert outcome.accuracy[0] == outcome.accuracy[1]
    assert outcome.accuracy[0]["all_attributes"] > 0.8
    assert [side.backend for side in outcome.sides] == ["openvino", "onnxruntime"]


def test_the_sheet_has_a_row_for_each_prompt_with_both_pictures(
    comparison: ModelComparison,
) -> None:
    sheet = np.asarray(side_by_side(comparison))
    assert sheet.shape[1] == 4 * 68 - 4
    head = sheet.shape[0] - (3 * 68 - 4)
    ordered = sorted(comparison.pairs, key=lambda pair: pair.psnr_db)  # the worst on top
    for row, pair in enumerate(ordered):
        top = head + row * 68
        cells = [sheet[top : top + 64, left : left + 64] for left in (0, 68, 136, 204)]
        assert (cells[0] < 128).any()  # words
        for cell, picture in zip(cells[1:3], pair.pictures, strict=True):
            np.testing.assert_array_equal(cell, picture)
        apart = np.abs(pair.pictures[0].astype(int) - pair.pictures[1])
        assert ((cells[3] == 0) == (apart == 0)).all()
        assert cells[3].max() > apart.max()


def test_a_long_name_stays_in_its_column(comparison: ModelComparison) -> None:
    made = replace(comparison.sides[0], model="a-model-with-a-very-long-name", backend="x")
    sheet = np.asarray(side_by_side(replace(comparison, sides=(made, comparison.sides[1]))))
    head = sheet[: sheet.shape[0] - (3 * 68 - 4)]
    assert (head[:, 68:132] < 128).any()
    assert (head[:, 132:136] == 255).all()


def test_the_sheet_shows_the_worst_the_best_and_some_between(comparison: ModelComparison) -> None:
    pairs = [replace(comparison.pairs[0], seed=i, psnr_db=(i * 7) % 31) for i in range(31)]
    shown = [pair.psnr_db for pair in spaced_pairs(pairs, 6)]
    assert shown == [0, 6, 12, 18, 24, 30]
    assert len(spaced_pairs(pairs[:2], 6)) == 2


def test_pictures_go_into_a_new_folder_or_into_an_old_one(
    comparison: ModelComparison, tmp_path: Path
) -> None:
    for _ in range(2):
        paths = write_pictures(comparison, tmp_path / "out")
        assert paths == [tmp_path / "out" / SHEET, tmp_path / "out" / PLOT]
        assert set((tmp_path / "out").iterdir()) == set(paths)
        for path in paths:
            with Image.open(path) as image:
                assert min(image.size) > 100


def test_a_failed_write_leaves_nothing(
    comparison: ModelComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Image.Image.save

    def full(self: Image.Image, path: Path, **options: Any) -> None:
        if PLOT in str(path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(self, path, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(WriteError, match=f"{PLOT}: No space left"):
        write_pictures(comparison, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="it is no folder"):
        check_folder(tmp_path / "file", FILES)
    with pytest.raises(UsageError, match="there is no folder"):
        check_folder(tmp_path / "a" / "b", FILES)
    check_folder(tmp_path, FILES)
    check_folder(tmp_path / "new", FILES)
    monkeypatch.setattr("os.access", lambda *_: False)
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(WriteError, match="Permission denied"):
            check_folder(folder, FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
