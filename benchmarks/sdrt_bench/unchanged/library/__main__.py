"""Run one case: `python -m sdrt_bench.unchanged.library CASE MODELS PACKAGE`.

The case's pictures and its record, `python.json`, go into the working folder. PACKAGE is where the
interpreter's own sdrt is: a case that imported another one would prove nothing.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import sdrt
from sdrt_bench.unchanged.library import behaviour, pictures
from sdrt_bench.unchanged.library.digests import Record

CASES: dict[str, Callable[[Path], Record]] = {
    case.__name__.replace("_", "-"): case
    for case in (
        *(pictures.samplers, pictures.schedules, pictures.sampler_options, pictures.steps),
        *(pictures.prompt_embeddings, pictures.denoising_range, pictures.size_conditioning),
        *(pictures.images, pictures.adapters, behaviour.tokens, behaviour.networks),
        *(behaviour.fallback, behaviour.cancelled, behaviour.refused, behaviour.public_names),
    )
}

if __name__ == "__main__":
    name, models, package = sys.argv[1:]
    imported = Path(sdrt.__file__).parent
    if imported != Path(package):
        raise SystemExit(f"the interpreter's sdrt is in {package}, and {imported} was imported")
    record = CASES[name](Path(models))
    Path("python.json").write_text(json.dumps(record, indent=1, ensure_ascii=False))
