"""The committed model is what the exporter makes now; where not: `python -m tests.data.make_tiny`.

Bytes are not compared: OpenVINO numbers some layers anew in each process, and random weights may
differ in their last bits from one processor to another.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx_ir as ir
import pytest

from sdrt.arrays import snr_db
from sdrt.artifact import open_artifact
from sdrt.backends import open_backend
from sdrt.diagnostics.verify import seeded_feeds
from sdrt.manifest import MANIFEST_NAME

DATA = Path(__file__).parents[1] / "data"
NETWORKS = ["text_encoder", "unet", "vae_decoder", "vae_encoder"]
LIMIT_BYTES = 1_000_000

pytestmark = pytest.mark.parametrize("precision", ["fp32", "bf16"])
Both = tuple[Path, Path]


@pytest.fixture
def both(tiny_exports: dict[str, Path], exported_tiny: dict[str, Path], precision: str) -> Both:
    """What is committed, and what is made now."""
    return tiny_exports[precision], exported_tiny[precision]


def test_the_files_are_the_same_and_small(both: Both, precision: str) -> None:
    committed, made = (
        {path.relative_to(root) for path in root.rglob("*") if path.is_file()} for root in both
    )
    assert committed == made
    assert sum(path.stat().st_size for path in DATA.rglob("*.tar.xz")) <= LIMIT_BYTES


def test_settings_are_the_same(both: Both, precision: str) -> None:
    committed, made = both
    for path in made.rglob("*.json"):
        assert_near(settings(committed / path.relative_to(made)), settings(path), path.name)


def settings(path: Path) -> Any:
    """What a file says, without what depends on bytes, processors and versions."""
    data = json.loads(path.read_text())
    if path.name == MANIFEST_NAME:
        data["files"] = sorted(data["files"])  # without sizes and hashes
        del data["made_with"]
        for graph in data["graphs"].values():
            del graph["parity_db"]
    if "_use_default_values" in data:  # a set of diffusers', in any order
        data["_use_default_values"].sort()
    return data


def assert_near(content: Any, other: Any, place: str) -> None:
    """Equal, but for the last digits of fractions."""
    assert type(content) is type(other), place
    if isinstance(content, dict):
        assert content.keys() == other.keys(), place
        for key, value in content.items():
            assert_near(value, other[key], f"{place}: {key}")
    elif isinstance(content, list):
        assert len(content) == len(other), place
        for value, opposite in zip(content, other, strict=True):
            assert_near(value, opposite, place)
    elif isinstance(content, float):
        assert content == pytest.approx(other, rel=1e-3, abs=1e-5), place
    else:
        assert content == other, place


@pytest.mark.parametrize("network", NETWORKS)
def test_onnx_graphs_have_the_same_nodes_and_weights(
    both: Both, precision: str, network: str
) -> None:
    committed, made = (ir.load(root / network / "model.onnx") for root in both)
    assert nodes(committed) == nodes(made)
    assert committed.graph.initializers.keys() == made.graph.initializers.keys()
    for name, value in made.graph.initializers.items():
        constant, other = committed.graph.initializers[name].const_value, value.const_value
        assert constant is not None
        assert other is not None
        assert (constant.dtype, constant.shape) == (other.dtype, other.shape), name
        # A last bit of bf16 is 1/128 of a value.
        digits = 1e-2 if constant.dtype == ir.DataType.BFLOAT16 else 1e-5
        expected, found = (np.asarray(tensor.numpy(), np.float64) for tensor in (constant, other))
        np.testing.assert_allclose(found, expected, rtol=digits, atol=1e-6, err_msg=name)


def nodes(model: ir.Model) -> list[Any]:
    """All that a graph says of its nodes, in their order."""
    return [
        (
            node.op_type,
            [value and value.name for value in node.inputs],
            [value.name for value in node.outputs],
            {name: str(attribute.value) for name, attribute in node.attributes.items()},
        )
        for node in model.graph
    ]


@pytest.mark.parametrize("network", NETWORKS)
def test_ir_has_the_same_layers_and_edges(both: Both, precision: str, network: str) -> None:
    committed, made = (list(layers(root / network / "openvino_model.xml")) for root in both)
    assert committed == made


def layers(path: Path) -> Iterator[tuple[Any, ...]]:
    """What IR says of its layers and edges, but for numbers that OpenVINO counts up."""
    root = ElementTree.parse(path).getroot()
    for layer in root.iterfind("layers/layer"):
        data = layer.find("data")
        attributes = dict(data.attrib) if data is not None else {}
        name = re.sub(r"_\d+$", "", str(layer.get("name")))
        yield layer.get("id"), layer.get("type"), name, sorted(attributes.items())
    for edge in root.iterfind("edges/edge"):
        yield tuple(sorted(edge.attrib.items()))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_compute_the_same(both: Both, precision: str, network: str, engine: str) -> None:
    backend = open_backend(engine, precision="fp32")
    committed, made = (open_artifact(root) for root in both)
    feeds = seeded_feeds(made, network)
    outputs, other = (
        backend.open(artifact.network(network, backend.formats)).run(feeds)
        for artifact in (committed, made)
    )
    assert outputs.keys() == other.keys()
    for name, array in other.items():
        assert snr_db(array, outputs[name]) > (90 if precision == "fp32" else 45)
