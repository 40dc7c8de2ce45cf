"""Every way of making a picture on the command line."""

from sdrt_bench.unchanged.cases import PROMPT, Case, Command, generate, on_both


def _image(name: str, *more: str) -> tuple[str, ...]:
    return ("--image", "{inputs}/" + name, *more)


LONG_PROMPT = "a (red:1.2) boat on the [calm] sea at sunset, " * 8 + "BREAK a white house"
LARGE = ("--size", "1024x64", "--vae-tiling")
SMALL_MASK = ("--mask", "{inputs}/small-mask.png")

PICTURES = [
    *on_both("embedded"),
    *on_both("embedded-fp32", "--precision", "fp32", "--negative-prompt", "blurry"),
    *on_both("tiny-fp32", model="tiny"),
    *on_both("tiny-bf16", model="tiny-bf16"),
    *on_both("int8", model="demo-int8"),
    generate("defaults", model="tiny-bf16", steps=None),
    # Samplers; all others are among the Python cases.
    generate(
        *("sampler-ancestral", "--sampler", "euler_a", "-O", "eta=0.5", "--scheduler", "karras"),
    ),
    generate("sampler-beta", "--sampler", "unipc", "--scheduler", "beta", engine="openvino"),
    generate("sampler-spacing", "--sampler", "ddim", "--spacing", "linspace", "-O", "eta=1"),
    generate("scheduler-config", "--scheduler-config", "{inputs}/scheduler_config.json"),
    # Prompts.
    generate("long-prompt", prompt=LONG_PROMPT, engine="openvino"),
    generate("clip-skip", "--clip-skip", "2"),
    generate("style", "--style", "film-noir", "--negative-prompt", "fog"),
    generate("own-style", "--style", "ink", "--styles", "{inputs}/styles.json"),
    # Guidance.
    generate("no-guidance", "--cfg-scale", "1", "--negative-prompt", "without effect"),
    generate("guidance-rescale", "--guidance-rescale", "0.7", "--cfg-scale", "9"),
    generate("guidance-interval", "--guidance-start", "0.25", "--guidance-end", "0.75"),
    generate("guidance-split", "--guidance-split", "--batch-count", "2", engine="openvino"),
    # From a picture.
    *on_both("image", *_image("picture.png", "--strength", "0.6"), steps=5),
    generate("image-resized", *_image("rotated.jpg", "--size", "96x128"), model="tiny"),
    generate("image-transparent", *_image("transparent.png"), model="tiny"),
    generate("mask", *_image("picture.png", "--mask", "{inputs}/mask.png")),
    generate("mask-no-paste", *_image("small.png", *SMALL_MASK, "--no-paste"), model="tiny"),
    *on_both("inpainting-model", *_image("small.png", *SMALL_MASK), model="tiny-inpaint"),
    generate("edit", *_image("small.png", "--image-guidance", "1.8"), model="tiny-instruct"),
    # Larger, decoders, previews, sheets.
    generate(
        *("hires", "--size", "64x64", "--hires", "1.5x", "--hires-strength", "0.5"),
        *("--hires-steps", "6"),
    ),
    generate("hires-openvino", "--hires", "2x", model="tiny", engine="openvino"),
    *on_both("tiles", *LARGE, model="tiny"),
    generate("tiles-image", *LARGE, *_image("picture.png"), model="tiny", engine="openvino"),
    *on_both("tiny-decoder", "--decoder", "tiny", model="tiny"),
    generate("preview-proj", "--preview", "proj", "--preview-path", "preview-%02d.png"),
    generate("preview-tae", "--preview", "tae", "--batch-count", "2", model="tiny"),
    generate(
        *("preview-vae", "--preview", "vae", "--preview-interval", "2"),
        *("--preview-path", "preview-%d.png"),
        model="tiny",
    ),
    generate(
        *("sheets", "--batch-count", "3", "--grid", "grid.png", "--trajectory", "trajectory.png"),
        *("--size", "64x64"),
        engine="openvino",
    ),
    generate(
        *("hires-sheets", "--hires", "2x", "--trajectory", "trajectory.png"),
        *("--preview", "proj", "--preview-path", "preview-%d.png"),
        model="tiny",
    ),
    generate("no-metadata", "--no-metadata", "--grid", "grid.png", model="tiny"),
    # What is added to a model.
    *on_both("lora", "--lora", "{inputs}/demo-kohya.safetensors:0.8"),
    generate(
        *("two-loras", "--lora", "{inputs}/demo-kohya.safetensors"),
        *("--lora", "{inputs}/demo-diffusers.safetensors:-0.5"),
    ),
    *on_both(
        *("textual-inversion", "--embedding", "{inputs}/ink-style.safetensors"),
        prompt=f"{PROMPT}, (ink-style:0.8)",
    ),
    generate(
        *("everything-added", "--lora", "{inputs}/sdxl-kohya.safetensors:0.7"),
        *("--embedding", "{inputs}/ink-xl.safetensors:ink"),
        model="tiny-sdxl",
        prompt="a boat, ink",
    ),
    # Other families.
    *on_both("sdxl", "--size", "64x80", model="tiny-sdxl"),
    generate(
        *("sdxl-size-conditioning", "--original-size", "300x200", "--crop", "16,8"),
        *("--target-size", "96x96", "--negative-prompt", "fog"),
        model="tiny-sdxl",
    ),
    *on_both(
        *("refiner", "--refiner", "{models}/tiny-sdxl-refiner", "--refiner-start", "0.5"),
        *("--aesthetic-score", "7", "--batch-count", "2", "--grid", "grid.png"),
        *("--trajectory", "trajectory.png"),
        model="tiny-sdxl",
    ),
    generate("refiner-alone", *_image("small.png"), model="tiny-sdxl-refiner"),
    generate("lcm", "--cfg-scale", "6", model="tiny-lcm"),
    generate("lcm-image", *_image("small.png", "--strength", "0.5"), model="tiny-lcm"),
    generate("sd2-v", "--scheduler", "karras", model="tiny-sd2-v"),
    generate("foreign-folder", model="tiny-foreign", engine="openvino"),
    # Memory.
    generate("memory-limit", "--max-memory", "16G", model="tiny"),
    generate("ignored-memory", "--ignore-memory", "--no-retry-precision", model="tiny"),
    Case(
        "summary",
        "generate",
        (
            Command(
                (
                    *("generate", PROMPT, "--model", "{models}/tiny", "--seed", "7"),
                    *("--threads", "2", "--grid", "grid.png", "--batch-count", "2"),
                ),
                output="prose",
            ),
        ),
    ),
]
