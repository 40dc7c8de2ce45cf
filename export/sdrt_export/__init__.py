"""Export Stable Diffusion to ONNX and OpenVINO. torch is needed here, and only here."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdrt_export.artifact.report import Report as Report
    from sdrt_export.exporter import export as export

__all__ = ["Report", "export"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        module = "artifact.report" if name == "Report" else "exporter"
        return getattr(import_module(f"sdrt_export.{module}"), name)
    raise AttributeError(f"module 'sdrt_export' has no attribute {name!r}")
