"""What became of a batch, to look at: a sheet of small pictures, and a page."""

import html
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from sdrt.batch.folder import BatchFolder, Record
from sdrt.files.atomic import whole_file
from sdrt.images.grid import grid
from sdrt.images.png import save_png

SHEET, SIDE = 100, 192  # pictures at most, and pixels of a side
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
figure { margin: 0; } img { width: 100%; border-radius: 6px; }
figcaption { font-size: 13px; overflow-wrap: anywhere; opacity: .8; }
td, th { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
"""


def write_reports(folder: BatchFolder, records: Sequence[Record]) -> list[Path]:
    """Write `sheet.png` and `report.html` of these rows; returns their paths."""
    made = [record for record in records if record["state"] == "done"]
    paths = []
    if made:
        paths.append(_sheet(folder, made))
    page = folder.root / "report.html"
    with whole_file(page) as partial:
        partial.write_text(_page(made, records), encoding="utf-8")
    return [*paths, page]


def _sheet(folder: BatchFolder, made: Sequence[Record]) -> Path:
    """The first pictures, each scaled into a square."""
    names = [name for record in made for name in record["names"]][:SHEET]
    squares = []
    for name in names:
        with Image.open(folder.root / name) as image:
            squares.append(ImageOps.pad(image.convert("RGB"), (SIDE, SIDE), color="white"))
    return save_png(grid(squares), folder.root / "sheet.png")


def _page(made: Sequence[Record], records: Sequence[Record]) -> str:
    pictures = sum(len(record["names"]) for record in made)
    seconds = sum(record["seconds"] for record in made)
    failed = [record for record in records if record["state"] == "failed"]
    rate = f", {3600 * pictures / seconds:.0f} an hour" if seconds else ""
    figures = "\n".join(_figure(record, i) for record in made for i in range(len(record["names"])))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>sdrt batch</title><style>{STYLE}</style>
<h1>{pictures} pictures</h1>
<p>{len(made)} rows made in {seconds:.0f} s of computing{rate}; {len(failed)} failed.</p>
{_failures(failed)}
<main>
{figures}
</main>
</html>
"""


def _figure(record: Record, index: int) -> str:
    name = html.escape(record["names"][index], quote=True)
    prompt = html.escape(record["prompt"], quote=True)
    seed, seconds = record["seeds"][index], record["seconds"]
    return (
        f'<figure><a href="{name}"><img src="{name}" alt="{prompt}" loading="lazy"></a>'
        f"<figcaption>{prompt}<br>seed {seed} · {seconds:.3g} s</figcaption></figure>"
    )


def _failures(failed: Sequence[Record]) -> str:
    if not failed:
        return ""
    rows = "\n".join(
        f"<tr><td>{record['line']}<td>{html.escape(record['id'])}"
        f"<td>{html.escape(record['prompt'][:200])}<td>{html.escape(record['error']['message'])}"
        for record in failed
    )
    return f"<h2>Failed</h2>\n<table><tr><th>line<th>id<th>prompt<th>error\n{rows}\n</table>"
