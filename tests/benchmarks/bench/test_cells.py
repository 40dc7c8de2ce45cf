"""The cross product of what was asked, and what of it cannot be."""

from dataclasses import replace

import pytest

from sdrt.artifact import Artifact
from sdrt.errors import SdrtError, UnsupportedError, UsageError
from sdrt.manifest import Lora
from sdrt_bench.bench import cells as module
from sdrt_bench.bench.cells import Models, TableAxes, cell_name, cells
from sdrt_bench.bench.record import Params


@pytest.fixture(autouse=True)
def _able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has everything, and four cores."""
    monkeypatch.setattr(module, "has_bf16", lambda: True)
    monkeypatch.setattr(module, "has_int8", lambda: True)
    monkeypatch.setattr(module, "default_threads", lambda: 4)


@pytest.fixture
def models(demo: Artifact) -> Models:
    return Models.from_artifacts([demo])


def stored_in(artifact: Artifact, precision: str) -> Artifact:
    manifest = artifact.manifest
    unet = manifest.graphs["unet"].model_copy(update={"precision": precision})
    changed = manifest.model_copy(update={"graphs": {**manifest.graphs, "unet": unet}})
    return replace(artifact, manifest=changed)


def engines(table: list[Params]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((cell.backend, cell.precision) for cell in table))


def test_every_engine_runs_every_precision_that_it_can(models: Models) -> None:
    expected = [("openvino", "fp32"), ("onnxruntime", "fp32"), ("openvino", "bf16")]
    assert engines(cells(models, TableAxes())) == expected
    both = Models.from_artifacts([models.first, stored_in(models.first, "int8")])
    int8 = [("openvino", "int8"), ("onnxruntime", "int8")]
    assert engines(cells(both, TableAxes())) == [*expected, *int8]


def test_axes_are_crossed_and_each_cell_has_a_name_of_its_own(models: Models) -> None:
    asked = TableAxes(
        precisions=["fp32"],
        sizes=[(64, 64), (128, 96)],
        batches=[1, 2],
        guidance=[True, False],
        steps=[2, 3],
        threads=[1, 2],
        samplers=["ddim", "euler"],
    )
    table = cells(models, asked)
    assert len(table) == 2 * 2**6
    assert len({cell_name(cell) for cell in table}) == len(table)


def test_what_was_not_named_is_the_models_own(models: Models) -> None:
    (cell,) = cells(models, TableAxes(precisions=["fp32"], backends=["openvino"]))
    defaults = models.first.manifest.defaults
    assert (cell.width, cell.height) == (defaults.width, defaults.height)
    assert (cell.steps, cell.sampler) == (defaults.num_inference_steps, defaults.sampler)
    assert (cell.guidance, cell.guidance_scale) == (True, defaults.guidance_scale)
    assert (cell.threads, cell.batch) == (4, 1)


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("size", [64, 96, 128, 160, 192]),
        ("batch", [1, 2, 4]),
        ("threads", [1, 2, 4]),
        ("steps", [5, 10, 20, 30]),
    ],
)
def test_a_sweep_has_a_ladder(models: Models, sweep: str, values: list[int]) -> None:
    ladder = cells(models, TableAxes(precisions=["fp32"], backends=["openvino"], sweep=sweep))
    field = "width" if sweep == "size" else sweep
    spaced = [getattr(cell, field) for cell in ladder]
    if sweep == "size":
        assert spaced == sorted({round(v / 64) * 64 for v in values if v % 64 == 0} | set(spaced))
        assert len(spaced) > 1
    else:
        assert spaced == values


def test_values_that_were_named_take_the_ladders_place(models: Models) -> None:
    asked = TableAxes(precisions=["fp32"], backends=["openvino"], sweep="steps", steps=[3, 7])
    assert [cell.steps for cell in cells(models, asked)] == [3, 7]


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        (
            TableAxes(precisions=["fp32", "bf16"], backends=["onnxruntime"]),
            UnsupportedError,
            "demo onnxruntime bf16: onnxruntime has no bf16 arithmetic",
        ),
        (
            TableAxes(precisions=["int8"]),
            UnsupportedError,
            "int8: the model is stored in bf16; add",
        ),
        (
            TableAxes(precisions=["int8"], backends=["openvino"]),
            UnsupportedError,
            "demo openvino int8: the model is stored in bf16",
        ),
        (TableAxes(precisions=["fp7"]), UsageError, "unknown precision 'fp7'"),
        (TableAxes(backends=["tpu"]), UsageError, "unknown backend 'tpu'"),
        (TableAxes(sizes=[(65, 64)]), UsageError, "width is 65"),
        (TableAxes(steps=[0]), UsageError, "steps is 0"),
        (TableAxes(batches=[0]), UsageError, "images is 0"),
        (TableAxes(threads=[0]), UsageError, "threads is 0"),
        (TableAxes(samplers=["eular"]), UsageError, "did you mean 'euler'"),
        (TableAxes(seed=-1), UsageError, "seed is -1"),
    ],
)
def test_what_cannot_be_is_refused_by_the_cells_name(
    models: Models, asked: TableAxes, kind: type[SdrtError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        cells(models, asked)


def test_a_processor_without_bf16_has_no_such_cells(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_bf16", lambda: False)
    assert {cell.precision for cell in cells(models, TableAxes())} == {"fp32"}
    with pytest.raises(UnsupportedError, match="this processor has no bf16"):
        cells(models, TableAxes(precisions=["bf16"], backends=["openvino"]))


def test_a_precision_runs_from_the_export_that_is_stored_in_it(demo: Artifact) -> None:
    fp32, int8 = stored_in(demo, "fp32"), stored_in(demo, "int8")
    models = Models.from_artifacts([int8, demo, fp32])
    assert models.executing("fp32") is fp32
    assert models.executing("bf16") is demo
    assert models.executing("int8") is int8
    assert Models.from_artifacts([int8]).executing("fp32") is None


def test_two_exports_of_one_precision_or_of_two_models_are_no_table(demo: Artifact) -> None:
    with pytest.raises(UsageError, match="are both stored in bf16"):
        Models.from_artifacts([demo, replace(demo)])
    other = replace(demo, manifest=demo.manifest.model_copy(update={"name": "sd15"}))
    with pytest.raises(UsageError, match="exports of several models, demo, sd15"):
        Models.from_artifacts([demo, other])
    lora = Lora(file="ink.safetensors", sha256="0" * 64, weight=0.8)
    source = demo.manifest.source.model_copy(update={"loras": (lora,)})
    other = replace(demo, manifest=demo.manifest.model_copy(update={"source": source}))
    with pytest.raises(UsageError, match="have different LoRAs in them"):
        Models.from_artifacts([demo, stored_in(other, "fp32")])
