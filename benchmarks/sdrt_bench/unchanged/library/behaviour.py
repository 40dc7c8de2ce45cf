"""What a pipeline does besides pictures: tokens, networks, fallbacks, cancellation, refusals."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import sdrt
from sdrt import errors
from sdrt.artifact import open_artifact
from sdrt.backends import open_backend
from sdrt.backends.fake import FakeBackend, Fault
from sdrt_bench.unchanged.library.digests import PROMPT, SMALL, Record, digest, refusal, result_of


def tokens(models: Path) -> Record:
    """Token ids and weights of prompts with every kind of syntax, and what they mean."""
    prompts = (
        *("", PROMPT, "a (b:1.5) [c] ((d)) \\(e\\)", "a BREAK b", "(a, (b:0.5) c", "é ß 漢字 🙂"),
        *("a AND b", "[a:b:0.5] <lora:x:1>", "word " * 80, "(nested (deeper [less]) out:0.7)"),
    )
    record = {}
    for model in ("demo", "tiny-sdxl"):
        pipe = sdrt.load(models / model, "onnxruntime", threads=2)
        for prompt in prompts:
            row = pipe.tokens(prompt)
            record[f"{model}: {prompt}"] = {
                "ids": digest(row.ids),
                "weights": digest(row.weights),
                "states": digest(pipe.encode(prompt)),
            }
    return record


def networks(models: Path) -> Record:
    """Which networks stay in memory, and what each was stored in and executed."""
    record: Record = {}
    for keep in (frozenset(), frozenset({"unet"}), None):
        options: Any = {} if keep is None else {"keep": keep}
        pipe = sdrt.load(models / "tiny-bf16", "onnxruntime", threads=2, **options)
        result = pipe(PROMPT, **SMALL)
        loaded = sorted(pipe.loaded)
        pipe.release("unet")
        record[str(keep and sorted(keep))] = {"loaded": loaded, "later": sorted(pipe.loaded)}
        pipe.release()
        record["released"] = sorted(pipe.loaded)
        record["networks"] = {name: network.summary() for name, network in result.networks.items()}
    latents = np.linspace(-1, 1, 2 * 4 * 8 * 8, dtype=np.float32).reshape(2, 4, 8, 8)
    return {**record, "decoded": [digest(array) for array in pipe.decode(latents)]}


def fallback(models: Path) -> Record:
    """A network that fails in bf16 runs again in fp32; one that fails in fp32 is an error."""
    record: Record = {}
    for network in ("text_encoder", "unet", "vae_decoder"):
        backend = FakeBackend(_compute, faults=[Fault(network, call=1 if network == "unet" else 0)])
        pipe = sdrt.Pipeline(open_artifact("demo"), backend)
        record[network] = {**result_of(pipe(PROMPT, **SMALL), network), "ran": list(backend.ran)}
        record[network]["opened"] = list(backend.opened)
    faults = [Fault("unet", call, precisions=("fp32", "bf16")) for call in (0, 1)]
    for retry in (True, False):
        backend = FakeBackend(_compute, faults=faults)
        run = sdrt.Pipeline(open_artifact("demo"), backend, retry_precision=retry).start(
            PROMPT, **SMALL
        )
        record[f"failed, retry {retry}"] = refusal(run.result)
    return record


def _compute(name: str, feeds: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    """Networks of the embedded model, made of arithmetic."""
    if name == "text_encoder":
        ids = feeds["input_ids"].astype(np.float32)[..., None]
        states = np.sin(ids * np.arange(1, 129, dtype=np.float32) / 64)
        return {"last_hidden_state": states, "layer_states": np.stack([states] * 4, axis=1)}
    if name == "unet":
        text = feeds["encoder_hidden_states"].mean(axis=(1, 2))[:, None, None, None]
        answer = np.tanh(feeds["sample"]) * (1 + feeds["timestep"] / 1000) + text
        return {"out_sample": answer.astype(np.float32)}
    if name == "vae_decoder":
        colours = np.tanh(feeds["latent_sample"][:, :3])
        return {"sample": colours.repeat(8, axis=2).repeat(8, axis=3).astype(np.float32)}
    raise ValueError(f"no network {name}")


def cancelled(models: Path) -> Record:
    """What a run gives that is cancelled before it, between its steps, and left early."""
    pipe = sdrt.load(models / "tiny", "onnxruntime", threads=2)
    before = pipe.start(PROMPT, **SMALL)
    before.cancel()
    between = pipe.start(PROMPT, **SMALL)
    next(iter(between))
    between.cancel()
    left = pipe.start(PROMPT, **SMALL)
    next(iter(left))
    return {
        "before": refusal(before.result),
        "between": refusal(between.result),
        "later": result_of(left.result(), "later"),
    }


def refused(models: Path) -> Record:
    """Options that cannot be: the kind of error, its exit code and its message."""
    pipe = sdrt.load(models / "tiny", "onnxruntime", threads=2)
    sdxl = sdrt.load(models / "tiny-sdxl", "onnxruntime", threads=2)
    states = pipe.encode(PROMPT)
    calls: dict[str, Callable[[], object]] = {
        "unknown option": lambda: pipe.start(PROMPT, steps=3),  # type: ignore[call-arg]
        "no prompt": lambda: pipe.start(),
        "both prompts": lambda: pipe.start(PROMPT, prompt_embeds=states),
        "embeddings' width": lambda: pipe.start(prompt_embeds=states[..., :3]),
        "pooled of none": lambda: pipe.start(prompt_embeds=states, pooled_prompt_embeds=states[0]),
        "no pooled": lambda: sdxl.start(prompt_embeds=np.zeros((77, 192), np.float32)),
        "seeds": lambda: pipe.start(PROMPT, seed=[1, 2], num_images_per_prompt=3),
        "too many": lambda: pipe.start(PROMPT, num_images_per_prompt=65),
        "latents' shape": lambda: pipe.start(
            PROMPT, latents=np.zeros((3, 8, 8)), denoising_start=0.5
        ),
        "latents alone": lambda: pipe.start(PROMPT, latents=np.zeros((4, 8, 8))),
        "range": lambda: pipe.start(PROMPT, denoising_start=0.8, denoising_end=0.2),
        "conditioning": lambda: pipe.start(PROMPT, original_size=(64, 64)),
        "score": lambda: sdxl.start(PROMPT, aesthetic_score=6.0),
        "rescale": lambda: pipe.start(PROMPT, guidance_rescale=1.5),
        "interval": lambda: pipe.start(PROMPT, guidance_start=0.9, guidance_end=0.1),
        "sampler option": lambda: pipe.start(PROMPT, sampler="euler", sampler_options={"eta": 1}),
        "true is no number": lambda: pipe.start(PROMPT, num_inference_steps=True),
        "config": lambda: pipe.start(PROMPT, scheduler_config={"_class_name": "NoScheduler"}),
        "other noise": lambda: pipe.start(
            PROMPT, scheduler_config={"_class_name": "DDIMScheduler", "beta_end": 0.5}
        ),
        "tiling": lambda: pipe.start(PROMPT, vae_tiling="yes"),  # type: ignore[arg-type]
        "backend": lambda: sdrt.load(backend="openvin"),
        "precision": lambda: sdrt.load(precision="fp8"),  # type: ignore[arg-type]
        "threads": lambda: open_backend("onnxruntime", threads=0),
        "size of memory": lambda: sdrt.load(max_memory="lots"),
        "model": lambda: sdrt.load(models / "none"),
        "damaged": lambda: sdrt.load(models / "tiny-damaged", "onnxruntime")(PROMPT, **SMALL),
    }
    return {name: refusal(call) for name, call in calls.items()}


def public_names(models: Path) -> Record:
    """Names that programs rely on."""
    kinds = {
        name: {"exit_code": kind.exit_code, "bases": [base.__name__ for base in kind.__mro__[1:]]}
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, sdrt.SdrtError)
    }
    return {
        "sdrt": sorted(sdrt.__all__),
        "version": sdrt.__version__,
        "load": list(inspect.signature(sdrt.load).parameters),
        "errors": dict(sorted(kinds.items())),
        **{
            kind.__name__: sorted(name for name in dir(kind) if not name.startswith("_"))
            for kind in (sdrt.Result, sdrt.Run)
        },
        "Step": list(inspect.signature(sdrt.Step).parameters),
    }
