"""What the C++ host prints and writes."""

from sdrt_bench.unchanged.cases import ENGINES, PROMPT, Case, Command, Output, generate


def _host(*words: str, output: Output = "json") -> Command:
    return Command(words, "host", output)


_DEMO = ("--model", "{models}/demo")
_START = ("generate", PROMPT, "--seed", "7", "--json")

HOSTS = [
    *(
        generate(f"host-{engine}", model="demo", engine=engine, program="host")
        for engine in ENGINES
    ),
    *(
        generate(
            *("host-int8-" + engine, "--sampler", "unipc", "--negative-prompt", "blurry"),
            model="demo-int8",
            engine=engine,
            program="host",
        )
        for engine in ENGINES
    ),
    generate(
        *("host-options", "--batch-count", "2", "--sampler", "euler_a", "--scheduler", "karras"),
        *("--guidance-rescale", "0.5", "--guidance-start", "0.2", "--clip-skip", "2"),
        *("--size", "96x64", "--guidance-split"),
        model="demo",
        prompt="a (red:1.2) boat on the [calm] sea, " * 8,
        program="host",
    ),
    generate("host-bf16", "--sampler", "lcm", model="tiny-bf16", engine="openvino", program="host"),
    generate("host-sdxl", "--size", "64x80", model="tiny-sdxl", program="host"),
    generate("host-no-metadata", "--no-metadata", model="tiny", program="host"),
    Case(
        "host-records",
        "host",
        (
            *(_host("info", "{models}/" + name, "--json") for name in ("demo", "tiny-bf16")),
            _host("info", "{models}/tiny", output="prose"),
            Command(
                (
                    *("conformance", "--output", "golden.safetensors", "--steps", "3"),
                    *("--size", "64x64", "--backend", "onnxruntime", "--json"),
                    *("--sampler", "dpm++2m", "--sampler", "unipc"),
                )
            ),
            *(
                _host("check", "golden.safetensors", *_DEMO, "--backend", engine, "--json")
                for engine in ENGINES
            ),
            _host("--help", output="help"),
            *(_host(name, "--help", output="help") for name in ("generate", "check", "info")),
        ),
    ),
    Case(
        "host-refusals",
        "host",
        tuple(
            _host(*_START, *words)
            for words in (
                (),
                (*_DEMO, "--sampler", "heun"),
                (*_DEMO, "--sampler", "eulr"),
                (*_DEMO, "--size", "100x100"),
                (*_DEMO, "--steps", "0"),
                (*_DEMO, "--cfg-scale", "nan"),
                (*_DEMO, "--output", "no-such-folder/picture.png"),
                (*_DEMO, "--precision", "fp8"),
                ("--model", "{models}/none"),
                ("--model", "{models}/tiny-damaged"),
                ("--model", "{models}/tiny-future"),
                ("--no-such-option",),
            )
        ),
    ),
]
