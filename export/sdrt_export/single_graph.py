"""One ONNX model of a whole run: ids, noise and guidance in, pictures out, in one call.

The networks of an artifact are joined as they are: their nodes with new names, their weights once,
in the outer graph. The U-Net is the body of a `Loop`, which looks its numbers up in tables.
"""

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from sdrt.artifact import Artifact
from sdrt.backends import Array
from sdrt.denoiser import guidance_width
from sdrt.errors import ArtifactError, UnsupportedError
from sdrt.manifest import GraphSpec, Manifest, TensorSpec
from sdrt.recipe import Recipe
from sdrt.request import Options, resolve
from sdrt_export.artifact import staged
from sdrt_export.coefficients import Coefficients, coefficients
from sdrt_export.report import Report, peak_bytes

NAME = "pipeline"
NETWORKS = ("text_encoder", "unet", "vae_decoder")
GRAPH_FILE, WEIGHTS_FILE = "model.onnx", "model.onnx_data"
ALIGNMENT = 4096  # so that engines can map the file
LEAST_IR = 10


@dataclass(frozen=True)
class Asked:
    """What is built into the graph."""

    sampler: str | None = None
    """None: the model's own, as with everything here."""
    scheduler: str | None = None
    steps: int | None = None
    size: tuple[int, int] | None = None
    """Width and height in pixels; None: any, in every call."""

    def options(self) -> Options:
        """As keyword arguments of a pipeline."""
        given: Options = {"seed": 0}
        if self.sampler is not None:
            given["sampler"] = self.sampler
        if self.scheduler is not None:
            given["scheduler"] = self.scheduler
        if self.steps is not None:
            given["num_inference_steps"] = self.steps
        if self.size is not None:
            given["width"], given["height"] = self.size
        return given


def export_single_graph(artifact: Artifact, destination: Path, asked: Asked) -> Report:
    """Publish a folder with one graph, its tokenizer and a manifest.

    Raises `UsageError`, `UnsupportedError` or `ArtifactError` before anything is written.
    """
    started = time.perf_counter()
    request = resolve(artifact.manifest, "", asked.options())
    _check(artifact)
    tables = coefficients(artifact.manifest, request.recipe, request.num_inference_steps)
    networks = [artifact.network(name, ("onnx",)) for name in NETWORKS]
    size = sum(file.stat().st_size for network in networks for file in network.files)
    with staged(destination, int(size * 1.1)) as stage:
        folder = stage.folder / NAME
        folder.mkdir()
        models = _load([network.files for network in networks], folder / WEIGHTS_FILE)
        model = build(models, artifact.manifest, tables, asked.size)
        onnx.save(model, folder / GRAPH_FILE)
        for encoder in artifact.manifest.text_encoders:
            shutil.copytree(artifact.root / encoder.tokenizer, stage.folder / encoder.tokenizer)
        manifest = stage.publish(_manifest(artifact.manifest, model, request.recipe, asked))
    return Report(stage.destination, manifest, time.perf_counter() - started, peak_bytes())


def build(
    models: dict[str, ModelProto],
    manifest: Manifest,
    tables: Coefficients,
    size: tuple[int, int] | None,
) -> ModelProto:
    """Join the networks, by their names, around the tables; their weights stay where they are."""
    parts = {name: _Part(name, model.graph) for name, model in models.items()}
    latent = manifest.latent
    sides: list[int | str] = ["height", "width"]
    pixels: list[int | str] = ["image_height", "image_width"]
    batch: int | str = "batch"
    if size:
        pixels = [size[1], size[0]]
        sides = [side // latent.downscale for side in (size[1], size[0])]
    channels = latent.channels
    length = manifest.text_encoders[0].length
    noise = [batch, channels, *sides]
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["chunks", length]),
        helper.make_tensor_value_info("negative_ids", TensorProto.INT64, ["chunks", length]),
        helper.make_tensor_value_info("noise", TensorProto.FLOAT, noise),
        helper.make_tensor_value_info("guidance_scale", TensorProto.FLOAT, []),
    ]
    if tables.draws:
        shape = [tables.draws, *noise]
        inputs.append(helper.make_tensor_value_info("step_noise", TensorProto.FLOAT, shape))
    outputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, *pixels])]
    constants = _constants(tables, latent.scale)
    nodes = [
        *_encode(parts["text_encoder"]),
        *_start(tables),
        *_loop(parts["unet"], tables, noise),
        *_decode(parts["vae_decoder"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        inputs,
        outputs,
        [
            *(numpy_helper.from_array(array, name) for name, array in constants.items()),
            *(weight for part in parts.values() for weight in part.weights),
        ],
    )
    opsets = {one.domain: one for model in models.values() for one in model.opset_import}
    return helper.make_model(
        graph,
        opset_imports=list(opsets.values()),
        ir_version=max(LEAST_IR, *(model.ir_version for model in models.values())),
        producer_name="sdrt",
    )


class _Part:
    """A network's nodes and weights under names of their own, in a graph of several networks."""

    def __init__(self, name: str, graph: GraphProto) -> None:
        self.name = name
        self.weights = list(graph.initializer)
        self.nodes = list(graph.node)
        for weight in self.weights:
            weight.name = self.at(weight.name)
        for node in self.nodes:
            node.name = self.at(node.name)
            node.input[:] = [self.at(one) for one in node.input]
            node.output[:] = [self.at(one) for one in node.output]

    def at(self, value: str) -> str:
        """The new name of a value; an input that is left out has none."""
        return f"{self.name}/{value}" if value else ""

    def open_group_norms(self) -> None:
        """Write group norms as what they are made of.

        OpenVINO keeps them for kernels that it does not have inside a loop; ONNX Runtime takes them
        apart anyway.
        """
        opened: list[NodeProto] = []
        for node in self.nodes:
            opened += self._open(node) if node.op_type == "GroupNormalization" else [node]
        self.nodes = opened

    def _open(self, node: NodeProto) -> list[NodeProto]:
        x, scale, bias = node.input
        made = {
            attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute
        }
        groups = made["num_groups"]
        ones, zeros, apart = (self.at(f"{what}_{groups}") for what in ("ones", "zeros", "apart"))
        known = {weight.name for weight in self.weights}
        for name, array in (
            (ones, np.ones(groups, np.float32)),
            (zeros, np.zeros(groups, np.float32)),
            (apart, np.array([0, groups, -1])),
            (self.at("sides"), np.array([1, 2])),
        ):
            if name not in known:
                self.weights.append(numpy_helper.from_array(array, name))
        at = node.name
        make = helper.make_node
        return [
            make("Reshape", [x, apart], [f"{at}/groups"]),
            make(
                "InstanceNormalization",
                [f"{at}/groups", ones, zeros],
                [f"{at}/even"],
                epsilon=made.get("epsilon", 1e-5),
            ),
            make("Shape", [x], [f"{at}/shape"]),
            make("Reshape", [f"{at}/even", f"{at}/shape"], [f"{at}/joined"]),
            make("Unsqueeze", [scale, self.at("sides")], [f"{at}/scale"]),
            make("Unsqueeze", [bias, self.at("sides")], [f"{at}/bias"]),
            make("Mul", [f"{at}/joined", f"{at}/scale"], [f"{at}/scaled"]),
            make("Add", [f"{at}/scaled", f"{at}/bias"], list(node.output)),
        ]

    def split(self) -> tuple[list[NodeProto], list[NodeProto]]:
        """Nodes that depend on weights alone, such as what decompresses them; and the others.

        What makes floats of int8 stays with its reader, so that engines see them as one.
        """
        known = {weight.name for weight in self.weights}
        constant, others = [], []
        for node in self.nodes:
            is_constant = node.input and all(one in known for one in node.input if one)
            if is_constant and node.op_type != "DequantizeLinear":
                known.update(node.output)
                constant.append(node)
            else:
                others.append(node)
        return constant, others


def _encode(encoder: _Part) -> list[NodeProto]:
    """The negative and the positive prompt in one batch: (2, tokens, width)."""
    return [
        helper.make_node("Concat", ["negative_ids", "ids"], [encoder.at("input_ids")], axis=0),
        *encoder.nodes,
        helper.make_node("Shape", [encoder.at("last_hidden_state")], ["states_width"], start=2),
        helper.make_node("Concat", ["two_any", "states_width"], ["states_shape"], axis=0),
        helper.make_node("Reshape", [encoder.at("last_hidden_state"), "states_shape"], ["states"]),
        # One row of states for each picture: (2 * batch, tokens, width), the negative ones first.
        helper.make_node("Shape", ["noise"], ["images"], end=1),
        helper.make_node("Unsqueeze", ["states", "axis_1"], ["states_apart"]),
        helper.make_node("Concat", ["one", "images", "one", "one"], ["tiles"], axis=0),
        helper.make_node("Tile", ["states_apart", "tiles"], ["states_tiled"]),
        helper.make_node("Shape", ["states"], ["tokens_width"], start=1),
        helper.make_node("Concat", ["minus_one", "tokens_width"], ["pairs_shape"], axis=0),
        helper.make_node("Reshape", ["states_tiled", "pairs_shape"], ["embeddings"]),
    ]


def _start(tables: Coefficients) -> list[NodeProto]:
    """The rows that the run sums over: noise, more noise, and room for each call's answer."""
    draws = ["step_noise"] if tables.draws else []
    return [
        helper.make_node("Unsqueeze", ["noise", "axis_0"], ["first_row"]),
        helper.make_node("Shape", ["noise"], ["noise_shape"]),
        helper.make_node("Concat", ["calls", "noise_shape"], ["room_shape"], axis=0),
        helper.make_node("Expand", ["zero", "room_shape"], ["room"]),
        helper.make_node("Concat", ["first_row", *draws, "room"], ["rows_at_first"], axis=0),
    ]


def _sum(row: str, rows: str, result: str) -> list[NodeProto]:
    """Sum up rows (rows, batch, channels, h, w) with weights (rows, 1, 1, 1, 1)."""
    return [
        helper.make_node("Mul", [rows, row], [f"{result}_parts"]),
        helper.make_node("ReduceSum", [f"{result}_parts", "axis_0"], [result], keepdims=0),
    ]


def _loop(unet: _Part, tables: Coefficients, noise: list[int | str]) -> list[NodeProto]:
    unet.open_group_norms()
    constant, nodes = unet.split()
    looked_up = ["latent_row", "scale", "timestep", "of_x", "of_answer", "place"]
    body = helper.make_graph(
        [
            *(
                helper.make_node("Gather", [f"{name}_table", "call"], [name], axis=0)
                for name in looked_up
            ),
            *_sum("latent_row", "rows_before", "x"),
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("Concat", ["scaled", "scaled"], [unet.at("sample")], axis=0),
            helper.make_node("Identity", ["timestep"], [unet.at("timestep")]),
            helper.make_node("Identity", ["embeddings"], [unet.at("encoder_hidden_states")]),
            *nodes,
            helper.make_node(
                "Split", [unet.at("out_sample")], ["negative", "positive"], axis=0, num_outputs=2
            ),
            helper.make_node("Sub", ["positive", "negative"], ["apart"]),
            helper.make_node("Mul", ["apart", "guidance_scale"], ["guidance"]),
            helper.make_node("Add", ["negative", "guidance"], ["answer"]),
            helper.make_node("Mul", ["x", "of_x"], ["share_of_x"]),
            helper.make_node("Mul", ["answer", "of_answer"], ["share_of_answer"]),
            helper.make_node("Add", ["share_of_x", "share_of_answer"], ["denoised"]),
            helper.make_node("Mul", ["denoised", "place"], ["placed"]),
            helper.make_node("Add", ["rows_before", "placed"], ["rows_after"]),
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("call", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info(
                "rows_before", TensorProto.FLOAT, [tables.latents.shape[1], *noise]
            ),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info(
                "rows_after", TensorProto.FLOAT, [tables.latents.shape[1], *noise]
            ),
        ],
    )
    return [
        *constant,
        helper.make_node("Loop", ["count", "always", "rows_at_first"], ["rows"], body=body),
    ]


def _decode(decoder: _Part) -> list[NodeProto]:
    """The last sum, decoded, to 0..1."""
    return [
        *_sum("result_row", "rows", "latents"),
        helper.make_node("Mul", ["latents", "latent_scale"], [decoder.at("latent_sample")]),
        *decoder.nodes,
        helper.make_node("Mul", [decoder.at("sample"), "half"], ["halved"]),
        helper.make_node("Add", ["halved", "half"], ["shifted"]),
        helper.make_node("Clip", ["shifted", "zero", "unit"], ["image"]),
    ]


def _constants(tables: Coefficients, latent_scale: float) -> dict[str, Array]:
    rows = tables.latents.shape[1]
    places = np.eye(rows)[rows - tables.calls :]
    apart = (-1, 1, 1, 1, 1)
    floats = {
        "latent_row_table": tables.latents[:-1].reshape(-1, rows, 1, 1, 1, 1),
        "result_row": tables.latents[-1].reshape(apart),
        "place_table": places.reshape(-1, rows, 1, 1, 1, 1),
        "scale_table": tables.scales,
        "timestep_table": tables.timesteps,
        "of_x_table": tables.of_x,
        "of_answer_table": tables.of_answer,
        "latent_scale": 1 / latent_scale,
        "zero": 0.0,
        "unit": 1.0,
        "half": 0.5,
    }
    whole = {
        "axis_0": [0],
        "axis_1": [1],
        "one": [1],
        "minus_one": [-1],
        "two_any": [2, -1],
        "calls": [tables.calls],
        "count": tables.calls,
    }
    return {
        **{name: np.asarray(value, np.float32) for name, value in floats.items()},
        **{name: np.asarray(value, np.int64) for name, value in whole.items()},
        "always": np.array(True),
    }


def _check(artifact: Artifact) -> None:
    manifest = artifact.manifest
    for name in NETWORKS:
        if "onnx" not in (manifest.graphs[name].files if name in manifest.graphs else ()):
            raise ArtifactError(
                f"{artifact.root} has no {name} in ONNX, which one graph is made of; export the "
                "model again with --format onnx"
            )
    if guidance_width(manifest.graphs["unet"]):
        raise UnsupportedError(
            "the U-Net was distilled with guidance inside, and one graph has no input for it; use "
            "the networks by themselves"
        )


def _load(files: Iterable[tuple[Path, ...]], weights: Path) -> dict[str, ModelProto]:
    """Read the graphs, and copy their weights one after the other into one file."""
    models = {}
    with weights.open("wb") as target:
        for name, (graph, *data) in zip(NETWORKS, files, strict=True):
            models[name] = onnx.load(graph, load_external_data=False)
            if not data:
                continue
            target.write(b"\0" * (-target.tell() % ALIGNMENT))
            start = target.tell()
            with data[0].open("rb") as source:
                shutil.copyfileobj(source, target)
            for tensor in models[name].graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = WEIGHTS_FILE
                    elif entry.key == "offset":
                        entry.value = str(int(entry.value) + start)
        target.flush()
        os.fsync(target.fileno())
    return models


def _manifest(manifest: Manifest, model: ModelProto, recipe: Recipe, asked: Asked) -> Manifest:
    files = (f"{NAME}/{GRAPH_FILE}", f"{NAME}/{WEIGHTS_FILE}")
    spec = GraphSpec(
        files={"onnx": files},
        inputs=tuple(_spec(value) for value in model.graph.input),
        outputs=tuple(_spec(value) for value in model.graph.output),
    )
    built_in: dict[str, Any] = {
        "sampler": recipe.sampler,
        "scheduler": recipe.scheduler,
        "sampler_options": dict(recipe.options),
    }
    if asked.steps is not None:
        built_in["num_inference_steps"] = asked.steps
    if asked.size is not None:
        built_in["width"], built_in["height"] = asked.size
    return manifest.model_copy(
        update={
            "graphs": {NAME: spec},
            "defaults": manifest.defaults.model_copy(update=built_in),
            "made_with": {**manifest.made_with, "onnx": version("onnx")},
        }
    )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(one.dim_param or one.dim_value for one in tensor.shape.dim)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)
