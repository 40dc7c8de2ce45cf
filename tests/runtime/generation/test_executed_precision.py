"""Each network says in what precision it ran; one other than that asked for is a warning."""

from dataclasses import replace

import pytest

import sdrt
from sdrt.artifact import Artifact
from sdrt.backends.fake import FakeBackend
from sdrt.manifest import Precision
from sdrt.pipeline import Pipeline
from tests.runtime.fakes import EMBEDS, SMALL, pretend_tiny


def test_executing_another_precision_than_asked_is_a_warning(tiny: Artifact) -> None:
    pipe = Pipeline(tiny, FakeBackend(pretend_tiny, precision="bf16", executes="fp32"))
    assert pipe("a boat", **SMALL).warnings == [
        "fake was asked for bf16 and executed fp32: text_encoder, unet, vae_decoder"
    ]
    assert (
        Pipeline(tiny, FakeBackend(pretend_tiny, precision="bf16"))("a boat", **SMALL).warnings
        == []
    )


@pytest.mark.parametrize(
    ("asked", "executes", "warning"),
    [
        (None, None, None),
        ("int8", None, None),  # the text encoder is meant to stay in float
        (None, "fp32", "fake was asked for int8 and executed fp32: unet, vae_decoder"),
        ("fp32", "int8", "fake was asked for fp32 and executed int8: text_encoder, unet, vae_d"),
    ],
)
def test_what_an_int8_model_has_in_int8_is_expected_to_run_so(
    tiny: Artifact,
    asked: Precision | None,
    executes: Precision | None,
    warning: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sdrt.networks.run_state.has_int8", lambda: True)
    graphs = dict(tiny.manifest.graphs)
    graphs["text_encoder"] = graphs["text_encoder"].model_copy(update={"precision": "bf16"})
    changes = {"precision": "int8", "graphs": graphs}
    artifact = replace(tiny, manifest=tiny.manifest.model_copy(update=changes))
    result = Pipeline(artifact, FakeBackend(pretend_tiny, precision=asked, executes=executes))(
        "a boat", **SMALL
    )
    assert result.networks["text_encoder"].stored == "bf16"
    assert result.networks["unet"].stored == "int8"
    assert len(result.warnings) == (warning is not None)
    assert not warning or result.warnings[0].startswith(warning)


def test_an_int8_wish_that_a_float_model_cannot_fulfil_is_a_warning(tiny: Artifact) -> None:
    pipe = Pipeline(tiny, FakeBackend(pretend_tiny, precision="int8", executes="bf16"))
    assert pipe("a boat", **SMALL).warnings == [
        "fake was asked for int8 and executed bf16: text_encoder, unet, vae_decoder"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("keep", [(), ("text_encoder", "unet", "vae_decoder")])
def test_each_network_tells_what_it_executed_whether_it_stays_or_not(
    backend: str, keep: tuple[str, ...]
) -> None:
    pipe = sdrt.load(backend=backend, precision="fp32", keep=keep)
    for _ in range(2):
        result = pipe("a boat", **SMALL)
        assert list(result.networks) == ["text_encoder", "unet", "vae_decoder"]
        for record in result.networks.values():
            assert (record.stored, record.executed) == ("bf16", "fp32")
            assert record.shares == {"fp32": 1.0}
            assert record.isa_from in ("kernels", "processor")
        assert result.parameters[0].executed_precision == "fp32"
        assert result.parameters[0].stored_precision == "bf16"
    assert pipe.loaded == set(keep)


def test_a_network_that_did_not_run_has_no_record(pipe: Pipeline) -> None:
    result = pipe(prompt_embeds=EMBEDS, negative_prompt_embeds=EMBEDS, **SMALL)
    assert list(result.networks) == ["unet", "vae_decoder"]
