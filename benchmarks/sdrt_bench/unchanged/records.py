"""What the other commands print and write, and what is refused."""

from sdrt_bench.unchanged.cases import ENGINES, PROMPT, Case, Command, calls, generate

MODELS = ("tiny", "tiny-bf16", "tiny-sdxl", "tiny-sdxl-refiner", "tiny-foreign", "demo-int8")
SUBCOMMANDS = (
    *("bench", "compare", "conformance", "doctor", "export", "generate", "info", "models"),
    *("samplers", "styles", "tune", "verify"),
)

RECORDS = [
    calls("help", "records", "help", ["--help"], *([name, "--help"] for name in SUBCOMMANDS)),
    calls(
        *("info", "records", "json", ["info", "--json"]),
        *(["info", "{models}/" + name, "--json"] for name in MODELS),
    ),
    calls("info-text", "records", "prose", ["info"], ["info", "{models}/tiny-sdxl"], ["--version"]),
    Case(
        "info-picture",
        "records",
        (
            *generate("picture", model="tiny").commands,
            Command(("info", "picture.png", "--json")),
            Command(("info", "picture.png"), output="prose"),
        ),
    ),
    calls(
        *("lists", "records", "json", ["samplers", "--json"], ["styles", "--json"]),
        ["styles", "{inputs}/styles.json", "--json"],
        ["models", "--json"],
    ),
    calls("lists-text", "records", "prose", ["samplers"], ["styles"], ["models"]),
    calls("doctor", "records", "shape", ["doctor", "--json"]),
    calls(
        *("verify", "records", "json", ["verify", "{models}/tiny-bf16", "--json"]),
        [
            *("verify", "{models}/tiny", "--backend", "openvino", "--precision", "fp32"),
            *("--timesteps", "1,500", "--size", "64x64", "--json"),
        ],
    ),
    calls(
        *("golden-vectors", "records", "json"),
        [
            *("conformance", "--output", "golden.safetensors", "--steps", "3", "--size", "64x64"),
            *("--sampler", "dpm++2m", "--sampler", "euler_a", "--backend", "onnxruntime", "--json"),
        ],
        *(
            ["verify", "--golden", "golden.safetensors", "--backend", engine, "--json"]
            for engine in ENGINES
        ),
    ),
    calls(
        *("golden-vectors-bf16", "records", "json"),
        [
            *("conformance", "{models}/tiny-bf16", "--output", "golden.safetensors"),
            *("--steps", "3", "--size", "64x64", "--sampler", "lcm", "--unet-steps", "1"),
            *("--backend", "openvino", "--json"),
        ],
    ),
    calls(
        *("compare", "records", "json"),
        [
            *("compare", "--backend", "onnxruntime,openvino", "--precision", "fp32"),
            *("--threads", "2", "--prompts", "2", "--steps", "3", "--json"),
        ],
    ),
    calls("bench-schema", "records", "json", ["bench", "--schema"]),
    calls(
        *("bench", "records", "shape"),
        [
            *("bench", "--backend", "onnxruntime", "--precision", "fp32", "--steps", "2"),
            *("--size", "64", "--repeat", "1", "--accuracy", "1", "--no-probe", "--threads", "2"),
            *("--no-pictures", "--json", "--output", "record.json"),
        ],
    ),
]


def _refused(name: str, *commands: tuple[str, ...]) -> Case:
    """Calls of `sdrt generate` with other options than can be."""
    start = ("generate", PROMPT, "--seed", "7", "--json")
    return calls(name, "refusals", "json", *((*start, *words) for words in commands))


_TINY = ("--model", "{models}/tiny")
_MASK = ("--mask", "{inputs}/mask.png")

REFUSALS = [
    _refused(
        "refused-options",
        ("--sampler", "eulr"),
        ("--sampler", "euler", "-O", "eta=1"),
        ("--size", "100x100"),
        ("--size", "big"),
        ("--size", "64x64", "--width", "64"),
        ("--style", "film-noire"),
        ("--styles", "{inputs}/styles.json"),
        ("--decoder", "tiny"),
        ("--no-such-option",),
    ),
    _refused(
        "refused-pictures",
        _MASK,
        ("--image", "{inputs}/none.png"),
        ("--image", "{inputs}/styles.json"),
        ("--image", "{inputs}/small.png", *_MASK, *_TINY),
        ("--image", "{inputs}/small.png", "--strength", "0.1", "--steps", "4", *_TINY),
        ("--hires", "2", "--hires-strength", "0.01", *_TINY),
        ("--model", "{models}/tiny-inpaint"),
        ("--model", "{models}/tiny-instruct"),
        ("--model", "{models}/tiny-lcm", "--guidance-rescale", "0.5"),
    ),
    _refused(
        "refused-models",
        ("--model", "{inputs}"),
        ("--model", "{models}/source"),
        ("--model", "{models}/tiny-damaged", "--backend", "onnxruntime"),
        ("--model", "{models}/tiny-future"),
        ("--lora", "{inputs}/unknown-layer.safetensors"),
        ("--lora", "{inputs}/sdxl-kohya.safetensors"),
        ("--lora", "{inputs}/demo-kohya.safetensors", "--model", "{models}/demo-int8"),
        ("--embedding", "{inputs}/ink-xl.safetensors"),
        ("--refiner-start", "0.5"),
        ("--refiner", "{models}/tiny"),
        ("--backend", "openvino", "--precision", "bf16", *_TINY),
        ("--max-memory", "1M", *_TINY),
    ),
    _refused(
        "refused-files",
        ("--output", "no-such-folder/picture.png"),
        ("--output", "a.png", "--grid", "a.png"),
        ("--preview-interval", "2"),
        ("--preview", "tae"),
    ),
    calls(
        *("refused-commands", "refusals", "json"),
        ["info", "{inputs}/rotated.jpg", "--json"],
        ["verify", "{models}/tiny-damaged", "--json"],
        ["verify", "--golden", "{inputs}/tiny-kohya.safetensors", "--json"],
        ["conformance", "--unet-steps", "a", "--json"],
        ["conformance", "{models}/tiny-sdxl", "--json"],
        ["compare", "demo", "{models}/tiny-sdxl", "--json"],
        ["bench", "--precision", "fp8", "--json"],
        ["export", "--random", "no-such-preset", "exported", "--json"],
        ["export", "{models}/tiny", "exported", "--precision", "fp16", "--json"],
        ["no-such-command"],
    ),
]


def _export(name: str, *words: str) -> Case:
    return Case(
        f"export-{name}", "export", (Command(("export", *words, "exported", "--quiet", "--json")),)
    )


EXPORTS = [
    _export(
        *("fp32", "{models}/source", "--lora", "{inputs}/tiny-kohya.safetensors:0.5"),
        *("--tiny-vae", "{models}/taesd", "--sampler", "euler_a", "--steps", "3"),
    ),
    _export("bf16", "--random", "tiny", "--precision", "bf16", "--format", "onnx"),
    _export(
        *("int8", "{models}/tiny-bf16", "--precision", "int8", "--calibration-samples", "1"),
        *("--calibration-steps", "2", "--calibration-seed", "3", "--publish-anyway"),
        *("--calibration-prompts", "{inputs}/prompts.txt"),
    ),
    _export("single-graph", "{models}/tiny", "--single-graph", "--sampler", "heun", "--steps", "3"),
]
