"""Checks in one small step that an engine executes the requested precision."""

from collections.abc import Sequence

from sdrt.artifact import Artifact
from sdrt.backends import Backend
from sdrt.diagnostics.verify import run_network, seeded_feeds
from sdrt.errors import UnsupportedError


def check_executed(name: str, artifact: Artifact, backend: Backend) -> None:
    """Run the U-Net on 8x8 latents.

    Raises `UnsupportedError`, which begins with `name`, where the engine executes another precision
    than it was asked for.
    """
    ran = run_network(artifact, "unet", backend, [seeded_feeds(artifact, "unet")])
    check_precision(name, artifact, backend, "executes", ran.executed, ran.warnings)


def check_precision(
    name: str,
    artifact: Artifact,
    backend: Backend,
    verb: str,
    executed: str,
    warnings: Sequence[str] = (),
) -> None:
    """Raise the same for an executed precision; `verb` is "executes", or "executed" in a run."""
    if executed != backend.precision:
        why = "".join(f"; {warning}" for warning in warnings)
        raise UnsupportedError(
            f"{name}: {backend.name} was asked for {backend.precision} and {verb} {executed} "
            f"(stored in {artifact.manifest.stored('unet')}){why}; leave this precision out, or "
            "name an artifact that is stored in it"
        )
