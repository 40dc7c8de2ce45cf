"""How near networks, as an engine runs them, are to the same networks in fp32: dB, by timestep."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdrt.arrays import Array
from sdrt.artifact.artifact import Artifact, open_artifact
from sdrt.backends.backend import Backend, is_installed, open_backend
from sdrt.diagnostics.verify import Ran, run_network, seeded_feeds
from sdrt.errors import UsageError
from sdrt.manifest import POOLED, Precision, Storage
from sdrt.snr import snr_db
from sdrt.text.conditioning import TextConditioning, states_of
from sdrt.text.prompt import parse
from sdrt.text.tokenizer import Tokenizer
from sdrt.validation import number
from sdrt.validation import size as checked_size

TIMESTEPS = (1, 21, 250, 500, 701, 901, 981.5, 999)
SIZE = (128, 128)  # a sixteenth of the work at 512x512
# One draw of noise for each.
PROMPTS = ("a red boat on the sea at sunset", "a portrait of an old man, oil on canvas")


@dataclass(frozen=True)
class GraphFidelity:
    """One network against its reference."""

    stored: Storage
    executed: str
    reference: str
    """What the reference was executed in."""
    snr_db: float
    """Of the worst output, over all draws, at the worst timestep; infinite where all are equal."""
    by_timestep: dict[str, float] = field(default_factory=dict)
    """Empty for networks that are not told any."""


@dataclass(frozen=True)
class Fidelity:
    """All networks of an artifact against their references."""

    backend: str
    asked: Precision | None
    """None: what the artifact stores."""
    against: str | None
    """Engine and artifact of the reference; None where there is nothing to compare with."""
    width: int
    height: int
    graphs: dict[str, GraphFidelity]
    notes: list[str]
    """Why something was not compared, or not executed as it was asked."""

    def to_record(self) -> dict[str, Any]:
        """As plain values; equal outputs, which have no noise at all, are None."""
        record: dict[str, Any] = _finite(asdict(self))
        return record

    def to_text(self) -> str:
        """For people."""
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
                columns = [(at, _figure(db, "")) for at, db in graph.by_timestep.items()]
                width = max(len(text) for column in columns for text in column) + 2
                lines.append("    timestep" + "".join(f"{at:>{width}}" for at, _ in columns))
                lines.append("    dB      " + "".join(f"{db:>{width}}" for _, db in columns))
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True)
class Comparison:
    """What is run, and what it is compared with; see `compare_with`."""

    artifact: Artifact
    backend: Backend
    other: Artifact
    """Of the reference: the artifact itself, or another export of the same model."""
    reference: Backend | None
    timesteps: tuple[float, ...]
    size: tuple[int, int]

    def measure(self) -> Fidelity:
        """Run every network, one at a time: its reference, and then the network itself."""
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
        texts: list[TextConditioning] = []  # what the text encoders make of the prompts
        for name in self._names():
            stored = self.artifact.manifest.stored(name)
            if stored == "int8" and self.other is self.artifact:
                notes.append(f"{name} is stored in int8: name an fp32 export by --against")
                continue
            timesteps, feeds = zip(*self._draws(name, texts), strict=True)
            expected = run_network(self.other, name, reference, feeds)
            found = run_network(self.artifact, name, self.backend, feeds)
            graphs[name] = _compare(stored, timesteps, expected, found)
            notes += [note for note in found.warnings if note not in notes]
            texts = self._with_text(name, texts, expected.outputs)

    def _against(self) -> str | None:
        if self.reference is None:
            return None
        where = "" if self.other is self.artifact else f", {self.other.root}"
        return f"{self.reference.name} in fp32{where}"

    def _names(self) -> list[str]:
        """Text encoders first: others are fed with what they say."""
        graphs, encoders = self.artifact.manifest.graphs, self.artifact.manifest.text_encoders
        first = [encoder.graph for encoder in encoders if encoder.graph in graphs]
        return [*first, *(name for name in graphs if name not in first)]

    def _with_text(
        self, graph: str, texts: list[TextConditioning], outputs: Sequence[Mapping[str, Array]]
    ) -> list[TextConditioning]:
        """The texts, and beside them what one more text encoder says, if the graph is one."""
        encoders = self.artifact.manifest.text_encoders
        encoder = next((one for one in encoders if one.graph == graph), None)
        if encoder is None:
            return texts
        more = [TextConditioning(states_of(said, encoder), said.get(POOLED)) for said in outputs]
        joined = (
            [TextConditioning.joined(pair) for pair in zip(texts, more, strict=True)]
            if texts
            else more
        )
        return joined

    def _draws(
        self, name: str, texts: Sequence[TextConditioning]
    ) -> list[tuple[str, dict[str, Array]]]:
        """Inputs of a network, each with the timestep that it is at, if the network is told one."""
        draws = [(draw, self._inputs(name, draw, texts)) for draw in range(len(PROMPTS))]
        if "timestep" not in draws[0][1]:
            return [("", inputs) for _, inputs in draws]
        return [
            (f"{timestep:g}", {**inputs, "timestep": np.array(timestep, np.float32)})
            for timestep in self.timesteps
            for _, inputs in draws
        ]

    def _inputs(self, name: str, draw: int, texts: Sequence[TextConditioning]) -> dict[str, Array]:
        """Seeded noise; but tokens of a prompt, its embeddings, and latents of a picture's size."""
        inputs = seeded_feeds(self.artifact, name, self.size, draw)
        if "input_ids" in inputs:
            dtype = inputs["input_ids"].dtype
            inputs["input_ids"] = self._tokens(name, PROMPTS[draw]).astype(dtype)
        text = texts[draw] if texts else None
        said = {"encoder_hidden_states": text.states, POOLED: text.pooled} if text else {}
        for feed, array in said.items():
            if feed in inputs and array is not None and array.shape == inputs[feed].shape:
                inputs[feed] = array
        if "latent_sample" in inputs:
            inputs["latent_sample"] /= np.float32(self.artifact.manifest.latent.scale)
        return inputs

    def _tokens(self, graph: str, prompt: str) -> Array:
        encoders = self.artifact.manifest.text_encoders
        encoder = next((one for one in encoders if one.graph == graph), encoders[0])
        tokenizer = Tokenizer(self.artifact.root / encoder.tokenizer, encoder.length)
        return tokenizer.encode(parse(prompt)).ids


def compare_with(
    artifact: Artifact,
    backend: Backend,
    timesteps: Sequence[float] | None = None,
    size: tuple[int, int] = SIZE,
    against: str | Path | None = None,
) -> Comparison:
    """Check what is to be compared; nothing is run yet.

    The reference is the same artifact on the same engine in fp32; for onnxruntime, which runs float
    networks in fp32 anyway, on openvino. `against` names another export of the model to take in its
    place, on the same engine: for networks in int8 no engine has an fp32 form. Raises `UsageError`.
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
        _checked(timesteps, last),
        size,
    )


def parse_timesteps(text: str) -> tuple[float, ...]:
    """Numbers with commas between them; raises `UsageError`."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"timesteps are {text!r}; expected numbers such as 1,500,981.5") from error


def _checked(timesteps: Sequence[float] | None, last: int) -> tuple[float, ...]:
    """Each timestep once; by default those that the model was trained on."""
    if timesteps is None:
        return tuple(timestep for timestep in TIMESTEPS if timestep <= last)
    return tuple(dict.fromkeys(number("a timestep", timestep, last) for timestep in timesteps))


def _same_model(artifact: Artifact, other: Artifact) -> Artifact:
    """The other one, if it has the same networks and may be a reference."""
    for name, spec in artifact.manifest.graphs.items():
        theirs = other.manifest.graphs.get(name)
        if theirs is None or (theirs.inputs, theirs.outputs) != (spec.inputs, spec.outputs):
            found = "has none" if theirs is None else "has another with other inputs or outputs"
            raise UsageError(
                f"{artifact.root} holds {name}, and {other.root} {found}; expected another export "
                "of the same model"
            )
        if other.manifest.stored(name) == "int8":
            raise UsageError(
                f"{other.root} stores {name} in int8; expected an export in fp32 or bf16"
            )
    return other


def _compare(
    stored: Storage, timesteps: Sequence[str], reference: Ran, found: Ran
) -> GraphFidelity:
    figures = {
        timestep: _worst(
            [
                output
                for at, output in zip(timesteps, reference.outputs, strict=True)
                if at == timestep
            ],
            [output for at, output in zip(timesteps, found.outputs, strict=True) if at == timestep],
        )
        for timestep in dict.fromkeys(timesteps)
    }
    return GraphFidelity(
        stored=stored,
        executed=found.executed,
        reference=reference.executed,
        snr_db=min(figures.values()),
        by_timestep={at: db for at, db in figures.items() if at},
    )


def _worst(expected: Sequence[Mapping[str, Array]], found: Sequence[Mapping[str, Array]]) -> float:
    """The worst output's signal-to-noise ratio over all draws together."""
    return min(
        snr_db([one[name] for one in expected], [one[name] for one in found])
        for name in expected[0]
    )


def _figure(db: float, unit: str = " dB") -> str:
    return f"{db:.1f}{unit}" if math.isfinite(db) else "equal"


def _finite(record: Any) -> Any:
    """The same with numbers to a tenth, and None for infinity, which JSON does not have."""
    if isinstance(record, dict):
        return {name: _finite(value) for name, value in record.items()}
    if isinstance(record, float):
        return round(record, 1) if math.isfinite(record) else None
    return record
