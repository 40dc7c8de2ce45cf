"""Files that an ONNX graph names for its weights, in the C++ host."""

from pathlib import Path

import pytest
from onnx import helper

from tests.cpp.commands import Ask
from tests.cpp.models import graph, open_command, replace_file

LOCATIONS = (
    *("/etc/passwd", "/dev/zero", "../../secret", "../text_encoder/model.onnx_data"),
    *("./../unet/../secret", "..\\secret", "c:secret", "a\x00b", "other", ""),
)


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_graph_reads_no_file_but_those_listed_for_it(
    ask: Ask, model: Path, location: str
) -> None:
    content = graph(location).SerializeToString()
    replace_file(model, "unet/model.onnx", content)
    (answer,) = ask(open_command(model))
    assert answer["code"] == 3
    assert "which the manifest does not list" in answer["message"]


@pytest.mark.parametrize(
    "entries",
    [
        {"length": "65"},
        {"offset": "1"},
        {"offset": "-1"},
        {"length": str(2**62)},
        {"length": str(2**64 - 1), "offset": "2"},
        {"length": str(2**64)},
        {"length": "6 4"},
        {"surprise": "1"},
        {"location": "x" * 5000},
    ],
    ids=str,
)
def test_a_graphs_tensors_lie_within_their_files(
    ask: Ask, model: Path, entries: dict[str, str]
) -> None:
    content = graph(**({"location": "model.onnx_data"} | entries)).SerializeToString()
    replace_file(model, "unet/model.onnx", content)
    (answer,) = ask(open_command(model))
    assert answer["code"] == 3


def test_tensors_within_nodes_and_functions_are_found(ask: Ask, model: Path) -> None:
    outer, inner = graph("model.onnx_data"), graph("../secret")
    weights = inner.graph.initializer[0]
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner.graph, else_branch=outer.graph)
    constant = helper.make_node("Constant", [], ["c"], value=weights)
    for node in (branch, constant):
        nested = graph("model.onnx_data")
        nested.graph.node.append(node)
        in_function = graph("model.onnx_data")
        in_function.functions.append(
            helper.make_function("d", "F", [], ["y"], [node], [helper.make_opsetid("", 17)])
        )
        for proto in (nested, in_function):
            replace_file(model, "unet/model.onnx", proto.SerializeToString())
            (answer,) = ask(open_command(model))
            assert answer["code"] == 3
            assert "../secret" in answer["message"]


def test_a_broken_graph_with_a_fitting_hash_is_an_error(ask: Ask, model: Path) -> None:
    sound = (model / "unet/model.onnx").read_bytes()
    broken = [b"", b"\x00", b"\xff" * 20, b"GGUF", sound[:-1], sound[: len(sound) // 2]]
    broken.append(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    for content in broken:
        replace_file(model, "unet/model.onnx", content)
        (answer,) = ask(open_command(model))
        assert answer["code"] == 3
