"""The graph of a whole run, joined from an artifact's networks and tables of numbers.

The networks are joined as they are: their nodes with new names, their weights once, in the outer
graph. The U-Net is the body of a `Loop`, which looks its numbers up in tables.
"""

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from sdrt.arrays import Array
from sdrt.manifest import Manifest
from sdrt_export.single_graph.coefficients import Coefficients
from sdrt_export.single_graph.subgraph import Subgraph

Shape = list[int | str]

NAME = "pipeline"
LEAST_IR = 10


def build(
    models: dict[str, ModelProto],
    manifest: Manifest,
    tables: Coefficients,
    size: tuple[int, int] | None,
) -> ModelProto:
    """Join the networks, by their names, around the tables; their weights stay where they are."""
    networks = {name: Subgraph(name, model.graph) for name, model in models.items()}
    latent = manifest.latent
    sides: Shape = ["height", "width"]
    pixels: Shape = ["image_height", "image_width"]
    if size:
        pixels = [size[1], size[0]]
        sides = [side // latent.downscale for side in (size[1], size[0])]
    noise: Shape = ["batch", latent.channels, *sides]
    image = _tensor("image", TensorProto.FLOAT, ["batch", 3, *pixels])
    constants = _constants(tables, latent.scale)
    nodes = [
        *_encode(networks["text_encoder"]),
        *_start(tables),
        *_loop(networks["unet"], tables, noise),
        *_decode(networks["vae_decoder"]),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        _inputs(manifest.text_encoders[0].length, noise, tables.draws),
        [image],
        [
            *(numpy_helper.from_array(array, name) for name, array in constants.items()),
            *(weight for network in networks.values() for weight in network.weights),
        ],
    )
    opsets = {opset.domain: opset for model in models.values() for opset in model.opset_import}
    return helper.make_model(
        graph,
        opset_imports=list(opsets.values()),
        ir_version=max(LEAST_IR, *(model.ir_version for model in models.values())),
        producer_name="sdrt",
    )


def _inputs(length: int, noise: Shape, draws: int) -> list[ValueInfoProto]:
    """Inputs of the whole run; `length` is that of a chunk of token ids."""
    inputs = [
        _tensor("ids", TensorProto.INT64, ["chunks", length]),
        _tensor("negative_ids", TensorProto.INT64, ["chunks", length]),
        _tensor("noise", TensorProto.FLOAT, noise),
        _tensor("guidance_scale", TensorProto.FLOAT, []),
    ]
    if draws:
        inputs.append(_tensor("step_noise", TensorProto.FLOAT, [draws, *noise]))
    return inputs


def _tensor(name: str, dtype: int, shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _encode(encoder: Subgraph) -> list[NodeProto]:
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


def _loop(unet: Subgraph, tables: Coefficients, noise: Shape) -> list[NodeProto]:
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
            _tensor("call", TensorProto.INT64, []),
            _tensor("go_on", TensorProto.BOOL, []),
            _tensor("rows_before", TensorProto.FLOAT, [tables.latents.shape[1], *noise]),
        ],
        [
            _tensor("goes_on", TensorProto.BOOL, []),
            _tensor("rows_after", TensorProto.FLOAT, [tables.latents.shape[1], *noise]),
        ],
    )
    return [
        *constant,
        helper.make_node("Loop", ["count", "always", "rows_at_first"], ["rows"], body=body),
    ]


def _decode(decoder: Subgraph) -> list[NodeProto]:
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
