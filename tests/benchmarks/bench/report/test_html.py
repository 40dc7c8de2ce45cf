"""The report is one page that loads nothing, runs nothing, and draws what was measured."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from sdrt_bench.bench.record import Record
from sdrt_bench.bench.report.figures import roofline, step_times, times_to_image, traces
from sdrt_bench.bench.report.html import to_html
from tests.benchmarks.bench.records import HOSTILE, OURS, cell, full_record, record


class Loads(HTMLParser):
    """Whatever a page refers to, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = ("src", "href", "xlink:href", "srcset", "data", "action")
        self.references += [value or "" for name, value in attrs if name in names]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


PAGES: dict[str, str] = {}
"""Of records as JSON; each takes a second to draw."""


def html_of(made: Record) -> str:
    text = made.to_json()
    if text not in PAGES:
        PAGES[text] = to_html(made)
    return PAGES[text]


def page_of(made: Record) -> ElementTree.Element:
    return ElementTree.fromstring(html_of(made).removeprefix("<!DOCTYPE html>"))


def charts(made: Record) -> dict[str, ElementTree.Element]:
    return {svg.attrib["aria-label"]: svg for svg in page_of(made).iter("svg")}


def chart(made: Record, title: str) -> ElementTree.Element:
    (element,) = [svg for name, svg in charts(made).items() if name.startswith(title)]
    return element


@pytest.mark.slow
@pytest.mark.parametrize("hostile", [False, True])
def test_nothing_is_loaded_and_nothing_runs(hostile: bool) -> None:
    asked = {"model": HOSTILE, "tool": HOSTILE, "precision": HOSTILE, "prompt": HOSTILE}
    cells = (cell(1.0, asked), cell(2.0, {**asked, "backend": HOSTILE}))
    made = record(*cells, command=("sdrt", HOSTILE)) if hostile else full_record()
    page = to_html(made)
    parser = Loads()
    parser.feed(page)
    assert not {"script", "link", "iframe", "object", "embed"} & set(parser.tags)
    # Markers of a chart are shapes that stand in the same chart.
    assert all(text.startswith(("data:image/png;base64,", "#")) for text in parser.references)
    assert not parser.handlers
    assert not re.search(r"url\(|@import", page)
    assert hostile or "http" not in page
    assert page_of(made).tag == "html", "it is well-formed"


def test_the_header_names_machine_commit_command_and_noise() -> None:
    text = " ".join(page_of(full_record()).itertext())
    for words in ("AMD EPYC 9005", "AVX512_BF16", "sdrt bench --preset sd15 --random"):
        assert words in text
    assert "1 of 14 cells are marked" in text
    assert "failed: pip could not install" in text


def test_all_charts_are_there_and_those_without_data_are_not() -> None:
    titles = " ".join(charts(full_record()))
    for start in ("Time of a step", "Time to an image", "Resident", "Speed and fidelity"):
        assert start in titles
    for start in ("Each step", "Roofline", "By size"):
        assert start in titles
    bare = cell(1.0).model_copy(update={"rounds": (), "stats": None})
    assert not charts(record(bare))
    assert "Roofline" not in " ".join(charts(record(cell(1.0))))


def tipped(drawn: ElementTree.Element) -> dict[str, list[list[float]]]:
    """Shapes with a text under the pointer: their points, one after the other."""
    shapes = {}
    for group in drawn.iter("g"):
        title, path = group.find("title"), group.find(".//path")
        if title is not None and path is not None:
            numbers = [float(text) for text in re.findall(r"-?[\d.]+", path.attrib["d"])]
            shapes[title.text or ""] = [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
    return shapes


def test_bars_are_as_long_as_steps_take() -> None:
    made = full_record()
    drawn = [
        max(x for x, _ in points) - min(x for x, _ in points)
        for points in tipped(chart(made, "Time of a step")).values()
    ]
    medians = [row.stats.median for row in made.benchmarks if row.stats][: len(drawn)]
    assert len(drawn) == 10
    scale = drawn[0] / medians[0]
    assert drawn == pytest.approx([scale * time for time in medians], abs=0.05)


@pytest.mark.parametrize("made", [full_record(), record(cell(1.0, {"tool": "x" * 300}))])
def test_words_of_a_chart_lie_inside_it(made: Record) -> None:
    for svg in charts(made).values():
        width, height = (float(svg.attrib[name]) for name in ("width", "height"))
        assert list(svg.iter("text"))
        for text in svg.iter("text"):
            if "rotate(-90" in text.attrib.get("transform", ""):
                continue
            x, y = float(text.attrib["x"]), float(text.attrib["y"])
            long = 7 * len(text.text or "")
            anchor = re.search(r"text-anchor: (\w+)", text.attrib["style"])
            left = {"start": x, "middle": x - long / 2, "end": x - long}[
                anchor[1] if anchor else ""
            ]
            assert -4 <= left
            assert left + long <= width + 12 or y < 30
            assert 0 < y < height


@pytest.mark.slow
def test_charts_have_the_same_bytes_each_time() -> None:
    assert to_html(full_record()) == to_html(full_record())


def test_error_bars_go_from_p10_to_p90() -> None:
    made = cell(2.0)
    assert made.stats
    bar_chart = step_times([made])
    assert bar_chart
    assert bar_chart.bars[0].error == (made.stats.p10, made.stats.p90)


def test_the_parts_of_an_image_add_up_to_loading_and_painting() -> None:
    made = full_record().benchmarks[0]
    bar_chart = times_to_image([made])
    assert bar_chart
    whole = [sum(measured.load_s.values()) + (measured.image_s or 0) for measured in made.rounds]
    assert bar_chart.bars[0].total == pytest.approx(sorted(whole)[1], rel=0.02)
    assert [part.name for part in bar_chart.bars[0].segments][0] == "load and compile"


def test_traces_show_every_round_and_spread_on_factors_where_one_is_far_slower() -> None:
    near = traces([cell(1.0), cell(2.0, {"precision": "fp32"})])
    far = traces([cell(1.0), cell(20.0, {"precision": "fp32"})])
    assert near
    assert far
    assert len(near.lines) == 6
    assert (near.is_log, far.is_log) == (False, True)


def test_the_roofline_marks_the_peaks_of_the_engine_that_ran() -> None:
    made = full_record()
    bar_chart = roofline(made.benchmarks, made.machine_info.peaks)
    assert bar_chart
    assert len(bar_chart.bars) == len(OURS)
    probes = [
        {line.name: line.value for line in bar.lines if "peak" in line.name}
        for bar in bar_chart.bars
    ]
    assert probes[1] == probes[0], "onnxruntime's bf16 runs in fp32"
    assert probes[2] == {"peak: matrix product": 1450.0, "peak: convolution": 1305.0}


def test_the_line_of_a_sweep_goes_through_its_points() -> None:
    made = full_record()
    drawn = chart(made, "By size")
    ((name, points),) = [item for item in tipped(drawn).items() if item[0] == "openvino bf16"]
    (x1, y1), (x2, y2) = points
    dots = [
        (float(d.attrib["x"]), float(d.attrib["y"])) for d in drawn.iter("use") if "x" in d.attrib
    ]
    on_axis = [
        dot
        for dot in dots
        if x1 - 1 <= dot[0] <= x2 + 1 and min(y1, y2) - 9 < dot[1] < max(y1, y2) + 9
    ]
    assert len(on_axis) >= 4
    assert "7.20 s per million pixels" in " ".join(page_of(made).itertext())
    near = [abs(y - y1 - (x - x1) * (y2 - y1) / (x2 - x1)) <= 4 for x, y in on_axis]
    assert sum(near) >= 4, name


def test_pictures_are_inside_the_page_with_their_names() -> None:
    images = list(page_of(full_record()).iter("img"))
    assert len(images) == len(OURS)
    assert images[0].attrib["alt"] == "onnxruntime fp32, sd15, 512x512"
