"""An engine for tests that ask the same networks the same again and again."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from sdrt.arrays import Array
from sdrt.backends import Network
from sdrt.backends.cancellation import Cancellation
from sdrt.backends.onnxruntime.backend import OrtBackend, OrtGraph

Results = dict[str, dict[str, Array]]


@dataclass(frozen=True)
class RememberingBackend(OrtBackend):
    """ONNX Runtime in fp32, asked only for what it has not given yet."""

    known: Results = field(default_factory=dict)

    def open(self, network: Network) -> OrtGraph:
        return _RememberingGraph(network, self.threads, self.known)


class _RememberingGraph(OrtGraph):
    def __init__(self, network: Network, threads: int, known: Results) -> None:
        super().__init__(network, threads)
        self._known = known

    def _execute(self, feeds: Mapping[str, Array], cancellation: Cancellation) -> dict[str, Array]:
        digest = hashlib.sha256(str(self.network.files[0]).encode())
        for name, array in sorted(feeds.items()):
            digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
        key = digest.hexdigest()
        if key not in self._known:
            self._known[key] = super()._execute(feeds, cancellation)
        return {name: array.copy() for name, array in self._known[key].items()}
