"""Multiply-adds of a step follow from the networks that it runs."""

from sdrt.artifact import Artifact
from sdrt_bench.bench.macs import step_macs
from sdrt_bench.bench.record import Params


def params(artifact: Artifact, **fields: object) -> Params:
    given = {"model": "x", "backend": "openvino", "precision": "fp32", "threads": 1}
    size = {"width": 64, "height": 64, "guidance": False, "sampler": "ddim"}
    return Params.model_validate({**given, **size, **fields})


def test_a_step_of_two_calls_computes_twice(demo: Artifact) -> None:
    once, twice = (step_macs(demo, params(demo, sampler=name)) for name in ("euler", "heun"))
    assert twice == tuple(2 * count for count in once)
