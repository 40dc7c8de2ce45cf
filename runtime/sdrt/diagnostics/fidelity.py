"""Fidelity of networks in an engine's precision: signal to noise in dB against fp32."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array, snr_db
from sdrt.artifact.artifact import Artifact, open_artifact
from sdrt.backends.backend import Backend, is_installed, open_backend
from sdrt.diagnostics.verify import NetworkResult, run_network, seeded_feeds
from sdrt.errors import UsageError
from sdrt.manifest import POOLED, Precision, Storage
from sdrt.text.conditioning import TextConditioning, states_of
from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer
from sdrt.validation import number
from sdrt.validation import size as checked_size

TIMESTEPS = (1, 21, 250, 500, 701, 901, 981.5, 999)
SIZE = (128, 128)  # a sixteenth of the work at 512x512
# Each prompt comes with its own draw of noise.
PROMPTS = ("a red boat on the sea at sunset", "a portrait of an old man, oil on canvas")


@dataclass(frozen=True)
class GraphFidelity:
    """A network compared with its reference."""

    stored: Storage
    """The precision in which the weights are stored."""
    executed: str
    """The precision in which the engine executed the network."""
    reference: str
    """The precision in which the reference was executed."""
    snr_db: float
    """The ratio of the worst output over all draws, at the worst timestep; infinite if equal."""
    by_timestep: dict[str, float] = field(default_factory=dict)
    """The ratio at each timestep; empty for networks that take none."""


@dataclass(frozen=True)
class Fidelity:
    """All networks of an artifact compared with their references."""

    backend: str
    """The name of the engine."""
    asked: Precision | None
    """The precision that was requested, or None for the one that the artifact stores."""
    against: str | None
    """The engine and the artifact of the reference, or None without a reference."""
    width: int
    """The picture's width in pixels, by which inputs were sized."""
    height: int
    """The picture's height in pixels, by which inputs were sized."""
    graphs: dict[str, GraphFidelity]
    """The networks that were compared, by name."""
    notes: list[str]
    """Why a network was not compared, or not executed in the requested precision."""

    def to_record(self) -> dict[str, Any]:
        """The result as plain values; the infinite ratio of equal outputs becomes None."""
        record: dict[str, Any] = _finite(asdict(self))
        return record

    def to_text(self) -> str:
        """The result as text."""
        asked = f"asked for {self.asked}" if self.asked else "as the artifact is stored"
        against = f"against {self.against}" if self.against else "against nothing"
        lines = [f"{self.backend}, {asked}, {against}, at {self.width}x{self.height}:"]
        for name, graph in self.graphs.items():
            worst = " at the worst timestep" if graph.by_timestep else ""
            lines.append(
                f"  {name}: stored {graph.stored}, executed {graph.executed}, reference "
                f"{graph.reference}: {_figure(graph.snr_db)}{worst}"
            )
            if graph.by_timestep:
                columns = [(step, _figure(db, "")) for step, db in graph.by_timestep.items()]
                width = max(len(text) for column in columns for text in column) + 2
                lines.append("    timestep" + "".join(f"{step:>{width}}" for step, _ in columns))
                lines.append("    dB      " + "".join(f"{db:>{width}}" for _, db in columns))
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True)
class Comparison:
    """Networks to run, and what to compare them with; see `compare_with`."""

    artifact: Artifact
    """The model that is measured."""
    backend: Backend
    """The engine that is measured."""
    other: Artifact
    """The model of the reference: the artifact itself, or another export of the same model."""
    reference: Backend | None
    """The engine of the reference, in fp32, or None if there is none."""
    timesteps: tuple[float, ...]
    """The timesteps at which networks that take one are run."""
    size: tuple[int, int]
    """Width and height of the picture in pixels."""

    def measure(self) -> Fidelity:
        """Run every network, one at a time: first its reference, then the network itself."""
        graphs: dict[str, GraphFidelity] = {}
        notes: list[str] = []
        if self.reference is None:
            notes.append(
                f"nothing to compare with: {self.backend.name} runs float networks in fp32, and "
                "openvino is not installed; name another export of the model by --against"
            )
        else:
            self._measure(self.reference, graphs, notes)
        return Fidelity(
            self.backend.name, self.backend.precision, self._against(), *self.size, graphs, notes
        )

    def _measure(
        self, reference: Backend, graphs: dict[str, GraphFidelity], notes: list[str]
    ) -> None:
        texts: list[TextConditioning] = []  # the prompts as encoded so far
        for name in self._names():
            stored = self.artifact.manifest.stored(name)
            if stored == "int8" and self.other is self.artifact:
                notes.append(f"{name} is stored in int8: name an fp32 export by --against")
                continue
            timesteps, feeds = zip(*self._draws(name, texts), strict=True)
            expected = run_network(self.other, name, reference, feeds)
            actual = run_network(self.artifact, name, self.backend, feeds)
            graphs[name] = _compare(stored, timesteps, expected, actual)
            notes += [note for note in actual.warnings if note not in notes]
            texts = self._with_text(name, texts, expected.outputs)

    def _against(self) -> str | None:
        if self.reference is None:
            return None
        folder = "" if self.other is self.artifact else f", {self.other.root}"
        return f"{self.reference.name} in fp32{folder}"

    def _names(self) -> list[str]:
        """All networks, text encoders first: their outputs are the inputs of others."""
        graphs, encoders = self.artifact.manifest.graphs, self.artifact.manifest.text_encoders
        first = [encoder.graph for encoder in encoders if encoder.graph in graphs]
        return [*first, *(name for name in graphs if name not in first)]

    def _with_text(
        self, graph: str, texts: list[TextConditioning], outputs: Sequence[Mapping[str, Array]]
    ) -> list[TextConditioning]:
        """The texts joined with the graph's outputs if it is a text encoder, else the texts."""
        encoders = self.artifact.manifest.text_encoders
        encoder = next((encoder for encoder in encoders if encoder.graph == graph), None)
        if encoder is None:
            return texts
        more = [TextConditioning(states_of(out, encoder), out.get(POOLED)) for out in outputs]
        if not texts:
            return more
        return [TextConditioning.joined(pair) for pair in zip(texts, more, strict=True)]

    def _draws(
        self, name: str, texts: Sequence[TextConditioning]
    ) -> list[tuple[str, dict[str, Array]]]:
        """Inputs of a network, each with its timestep, or with "" if the network takes none."""
        draws = [(draw, self._inputs(name, draw, texts)) for draw in range(len(PROMPTS))]
        if "timestep" not in draws[0][1]:
            return [("", inputs) for _, inputs in draws]
        return [
            (f"{timestep:g}", {**inputs, "timestep": np.array(timestep, np.float32)})
            for timestep in self.timesteps
            for _, inputs in draws
        ]

    def _inputs(self, name: str, draw: int, texts: Sequence[TextConditioning]) -> dict[str, Array]:
        """Seeded noise, with a prompt's tokens and embeddings, and latents of a real magnitude."""
        inputs = seeded_feeds(self.artifact, name, self.size, draw)
        if "input_ids" in inputs:
            dtype = inputs["input_ids"].dtype
            inputs["input_ids"] = self._tokens(name, PROMPTS[draw]).astype(dtype)
        text = texts[draw] if texts else None
        encoded = {"encoder_hidden_states": text.states, POOLED: text.pooled} if text else {}
        for input_name, array in encoded.items():
            noise = inputs.get(input_name)
            if noise is not None and array is not None and array.shape == noise.shape:
                inputs[input_name] = array
        if "latent_sample" in inputs:
            inputs["latent_sample"] /= np.float32(self.artifact.manifest.latent.scale)
        return inputs

    def _tokens(self, graph: str, prompt: str) -> Array:
        encoders = self.artifact.manifest.text_encoders
        encoder = next((encoder for encoder in encoders if encoder.graph == graph), encoders[0])
        tokenizer = Tokenizer(self.artifact.root / encoder.tokenizer, encoder.length)
        return tokenizer.encode(parse(prompt)).ids


def compare_with(
    artifact: Artifact,
    backend: Backend,
    timesteps: Sequence[float] | None = None,
    size: tuple[int, int] = SIZE,
    against: str | Path | None = None,
) -> Comparison:
    """Prepare a comparison and check its options; nothing is run yet.

    The reference is the same artifact on the same engine in fp32, or on openvino for onnxruntime,
    which runs float networks in fp32 anyway. `against` names another export of the model to use as
    the reference, on the same engine: networks in int8 have no fp32 form. Raises `UsageError`.
    """
    downscale, last = artifact.manifest.latent.downscale, artifact.manifest.schedule.train_steps - 1
    for name, value in zip(("width", "height"), size, strict=True):
        checked_size(name, value, downscale)
    other = artifact if against is None else _same_model(artifact, open_artifact(against))
    engine: str | None = backend.name
    if backend.name == "onnxruntime" and other is artifact:
        engine = "openvino" if is_installed("openvino") else None
    return Comparison(
        artifact,
        backend,
        other,
        open_backend(engine, precision="fp32") if engine else None,
        _checked_timesteps(timesteps, last),
        size,
    )


def parse_timesteps(text: str) -> tuple[float, ...]:
    """Parse comma-separated timesteps; raises `UsageError`."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError(f"timesteps are {text!r}; expected numbers such as 1,500,981.5") from error


def _checked_timesteps(timesteps: Sequence[float] | None, last: int) -> tuple[float, ...]:
    """Each timestep once; by default those of `TIMESTEPS` that the model was trained on."""
    if timesteps is None:
        return tuple(timestep for timestep in TIMESTEPS if timestep <= last)
    return tuple(dict.fromkeys(number("a timestep", timestep, last) for timestep in timesteps))


def _same_model(artifact: Artifact, other: Artifact) -> Artifact:
    """The other artifact; raises `UsageError` if it cannot be the reference of this one."""
    for name, spec in artifact.manifest.graphs.items():
        theirs = other.manifest.graphs.get(name)
        if theirs is None or (theirs.inputs, theirs.outputs) != (spec.inputs, spec.outputs):
            problem = "has none" if theirs is None else "has one with other inputs or outputs"
            raise UsageError(
                f"{artifact.root} holds {name}, and {other.root} {problem}; expected another "
                "export of the same model"
            )
        if other.manifest.stored(name) == "int8":
            raise UsageError(
                f"{other.root} stores {name} in int8; expected an export in fp32 or bf16"
            )
    return other


def _compare(
    stored: Storage, timesteps: Sequence[str], expected: NetworkResult, actual: NetworkResult
) -> GraphFidelity:
    draws = list(zip(timesteps, expected.outputs, actual.outputs, strict=True))
    ratios = {
        timestep: _worst_snr(
            [outputs for drawn_at, outputs, _ in draws if drawn_at == timestep],
            [outputs for drawn_at, _, outputs in draws if drawn_at == timestep],
        )
        for timestep in dict.fromkeys(timesteps)
    }
    return GraphFidelity(
        stored=stored,
        executed=actual.executed,
        reference=expected.executed,
        snr_db=min(ratios.values()),
        by_timestep={timestep: db for timestep, db in ratios.items() if timestep},
    )


def _worst_snr(
    expected: Sequence[Mapping[str, Array]], actual: Sequence[Mapping[str, Array]]
) -> float:
    """The worst output's signal-to-noise ratio over all draws together."""
    return min(
        snr_db([outputs[name] for outputs in expected], [outputs[name] for outputs in actual])
        for name in expected[0]
    )


def _figure(db: float, unit: str = " dB") -> str:
    return f"{db:.1f}{unit}" if math.isfinite(db) else "equal"


def _finite(record: Any) -> Any:
    """The record with numbers rounded to a tenth, and None for infinity, which JSON lacks."""
    if isinstance(record, dict):
        return {name: _finite(value) for name, value in record.items()}
    if isinstance(record, float):
        return round(record, 1) if math.isfinite(record) else None
    return record
