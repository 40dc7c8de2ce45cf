"""Which kernels of the engines are in integers."""

from sdrt.artifact import Artifact
from sdrt.backends import open_backend
from sdrt.diagnostics.verify import seeded_feeds

FLOAT_LAYERS = ("Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul")  # where not int8


INTEGER_LAYERS = {
    "onnxruntime": ("QLinearConv", "MatMulIntegerToFloat", "QLinearMatMul"),
    "openvino": ("Convolution", "FullyConnected"),
}


def check_integers(artifact: Artifact, backend: str, name: str) -> None:
    """Every layer that was rounded runs in integers: of the work, what the manifest says."""
    engine, kinds = open_backend(backend), INTEGER_LAYERS[backend]
    graph = engine.open(artifact.network(name, engine.formats))
    graph.run(seeded_feeds(artifact, name))
    execution = graph.executed()
    integer = [
        kernel
        for kernel in execution.kernels
        if kernel.kind in kinds and kernel.precision == "int8"
    ]
    quantization = artifact.manifest.graphs[name].quantization
    assert quantization is not None
    assert len(integer) == len(quantization.sqnr_db) - len(quantization.kept)
    assert execution.precision == "int8"
    attention = [
        kernel for kernel in execution.kernels if kernel.kind not in (*kinds, *FLOAT_LAYERS)
    ]
    of_layers = sum(kernel.macs for kernel in execution.kernels) - sum(
        kernel.macs for kernel in attention
    )
    assert sum(kernel.macs for kernel in integer) / of_layers > 0.95 * quantization.share
