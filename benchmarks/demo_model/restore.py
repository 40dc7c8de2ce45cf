"""Read a published model's weights back into torch, so that its training can go on.

Torch's checkpoints of the embedded model are kept nowhere: they are ten times its size. An artifact
holds the same weights, rounded as it stores them.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from demo_model.geometry import write_index
from sdrt.artifact import Artifact, open_artifact
from sdrt.backends.weight_patches import HALVES
from sdrt_export.graphs.networks import ExportableNetwork, networks
from sdrt_export.presets import read_preset
from sdrt_export.sources.random_weights import RandomCheckpoint

Weights = dict[str, torch.Tensor]
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
    for network in networks(RandomCheckpoint.from_preset(*read_preset("demo"))):
        folder = FOLDERS[network.name]
        modules[folder] = network.module.network
        # Decoder and encoder are halves of one module, each found in a graph of its own.
        weights.setdefault(folder, {}).update(_parameters(network, artifact))
    modules["vae"].register_to_config(scaling_factor=artifact.manifest.latent.scale)
    for folder, module in modules.items():
        module.load_state_dict(weights[folder])  # raises unless every parameter was found
        module.save_pretrained(work / folder)
    shutil.copytree(artifact.root / "tokenizer", work / "tokenizer", dirs_exist_ok=True)
    write_index(work)


def _parameters(network: ExportableNetwork, artifact: Artifact) -> Weights:
    """Read a network's parameters by torch's names, which the graph has, too."""
    (file, *_) = artifact.network(network.name, ("onnx",)).files
    graph = onnx.load(file).graph
    stored = {
        tensor.name.removesuffix("_bf16").removeprefix("network."): tensor
        for tensor in graph.initializer
    }
    # The graph has y = x W, torch y = W x.
    turned = {
        node.input[1].removeprefix("network.") for node in graph.node if node.op_type == "MatMul"
    }
    parameters = {}
    for parameter in network.module.network.state_dict():  # type: ignore[union-attr]
        layer, _, kind = parameter.rpartition(".")
        halves = [f"{layer}.{half}.{kind}" for half in HALVES]  # a gated layer's, in the graph
        arrays = []
        for name in (name for name in (parameter, *halves) if name in stored):
            array = numpy_helper.to_array(stored[name]).astype(np.float32)
            arrays.append(array.T if name in turned else array)
        if arrays:
            parameters[parameter] = torch.from_numpy(np.concatenate(arrays))
    return parameters


if __name__ == "__main__":
    main()
