"""ONNX -> OpenVINO IR, so that both engines run one and the same trace."""

from pathlib import Path

import openvino as ov

from sdrt.backends.mapped import dropping_pages
from sdrt.errors import SdrtError

GRAPH_FILE, WEIGHTS_FILE = "openvino_model.xml", "openvino_model.bin"


def write_openvino(onnx_files: list[Path]) -> list[Path]:
    """Convert an ONNX file in its folder; weights keep their stored precision."""
    graph, *weights = onnx_files
    folder = graph.parent
    with dropping_pages(weights):
        try:
            model = ov.Core().read_model(graph)
            # OpenVINO would store fp32 weights as fp16 unless told otherwise.
            ov.save_model(model, folder / GRAPH_FILE, compress_to_fp16=False)
        except RuntimeError as error:
            raise SdrtError(f"OpenVINO cannot convert {graph}: {error}") from error
    return [folder / GRAPH_FILE, folder / WEIGHTS_FILE]
