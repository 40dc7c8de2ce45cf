"""Read a published model's weights back into torch, so that its training can go on.

Torch's checkpoints of the embedded model are kept nowhere: they are ten times its size. An artifact
holds the same weights, rounded as it stores them.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from demo_model.geometry import write_index
from sdrt.artifact import Artifact, open_artifact
from sdrt_export.checkpoint import RandomCheckpoint
from sdrt_export.config import read_preset
from sdrt_export.networks import ExportableNetwork, networks
from sdrt_export.to_onnx import trace

Weights = dict[str, torch.Tensor]
Arrays = dict[str, npt.NDArray[np.float32]]
FOLDERS = {"text_encoder": "text_encoder", "unet": "unet"}
FOLDERS |= {"vae_decoder": "vae", "vae_encoder": "vae"}


def main() -> None:
    """Parse the command line and write a diffusers folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="gets vae, text_encoder, unet, tokenizer")
    parser.add_argument("--model", help="default: the embedded model")
    args = parser.parse_args()
    restore(open_artifact(args.model), args.work)


def restore(artifact: Artifact, work: Path) -> None:
    """Write an artifact of the preset `demo` as a diffusers folder."""
    modules: dict[str, Any] = {}
    weights: dict[str, Weights] = {}
    for network in networks(RandomCheckpoint.of(*read_preset("demo"))):
        folder = FOLDERS[network.name]
        modules[folder] = network.module.network
        # Decoder and encoder are halves of one module, each found in a graph of its own.
        weights.setdefault(folder, {}).update(_parameters(network, _stored(artifact, network.name)))
    modules["vae"].register_to_config(scaling_factor=artifact.manifest.latent.scale)
    for folder, module in modules.items():
        module.load_state_dict(weights[folder])  # raises unless every parameter was found
        module.save_pretrained(work / folder)
    shutil.copytree(artifact.root / "tokenizer", work / "tokenizer", dirs_exist_ok=True)
    write_index(work)


def _parameters(network: ExportableNetwork, stored: Arrays) -> Weights:
    """Parameters by torch's names.

    A trace of the same geometry with weights that are all different tells which initializer is
    which parameter, and which are transposed.
    """
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.add_(torch.randn_like(parameter) * 1e-3)
    state = network.module.network.state_dict()  # type: ignore[union-attr]
    named = {name: value.numpy().copy() for name, value in state.items()}
    graph = trace(network).graph
    results = {node.inputs[1]: node.outputs[0] for node in graph if node.op_type == "MatMul"}
    traced = {
        str(results.get(value, value).name): np.asarray(value.const_value.numpy())
        for value in graph.initializers.values()
        if value.const_value is not None
    }
    found = {}
    for name, value in named.items():
        match = next((i for i, other in traced.items() if np.array_equal(other, value)), None)
        turned = match is None and value.ndim == 2
        if turned:
            match = next((i for i, other in traced.items() if np.array_equal(other, value.T)), None)
        if match is not None:  # else of the autoencoder's other half
            array = stored[match].T if turned else stored[match]
            found[name] = torch.from_numpy(np.ascontiguousarray(array).reshape(value.shape))
    return found


def _stored(artifact: Artifact, name: str) -> Arrays:
    """Weights by name; those of linear layers, which had none once, by the name of the result."""
    (file, *_) = artifact.network(name, ("onnx",)).files
    graph = onnx.load(file).graph
    arrays = {
        tensor.name.removesuffix("_bf16"): numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16)
    }
    linears = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in arrays]
    return arrays | {node.output[0]: arrays[node.input[1]] for node in linears}


if __name__ == "__main__":
    main()
