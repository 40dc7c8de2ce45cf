"""What made a picture comes back into the form; wrong options are named beside their fields."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Page, expect

from sdrt.pipeline import Pipeline
from sdrt.request.options import Options
from tests.server.page.using import ask, drop, newest, option, outcome, thumbnails

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def boat(slow_pipe: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with its parameters inside."""
    options = Options(num_inference_steps=2, seed=7, guidance_scale=3.5, sampler="euler")
    options["style"] = "cinematic"
    result = slow_pipe("a red boat", **options)
    return result.save(tmp_path_factory.mktemp("boat") / "boat.png")[0]


def expect_boat(page: Page) -> None:
    """The form holds what made the picture; a style's words are part of the prompt."""
    expect(option(page, "Prompt")).to_have_value(re.compile("^a red boat, "))
    expect(option(page, "Style")).to_have_value("")
    expect(option(page, "Seed")).to_have_value("7")
    expect(option(page, "Steps")).to_have_value("2")
    expect(option(page, "Guidance")).to_have_value("3.5")
    expect(option(page, "Sampler")).to_have_value("euler")


def test_using_a_picture_gives_the_same_picture_again(page: Page) -> None:
    option(page, "Sampler").select_option("Euler")
    option(page, "Style").select_option("cinematic")
    ask(page, "a red boat")
    expect(thumbnails(page)).to_have_count(1)
    first = newest(page)
    page.get_by_role("button", name="Reset all options").click()
    option(page, "Prompt").fill("something else")
    expect(option(page, "Sampler")).to_have_value("")
    thumbnails(page).get_by_role("button").click()
    page.get_by_role("button", name="Use these").click()
    expect(option(page, "Sampler")).to_have_value("euler")
    page.get_by_role("button", name="Generate").click()
    expect(thumbnails(page)).to_have_count(2)
    assert newest(page).tobytes() == first.tobytes()


def test_a_picture_is_downloaded_by_its_seed_with_its_parameters(page: Page) -> None:
    option(page, "Seed").fill("7")
    ask(page, "a red boat")
    with page.expect_download() as download:
        thumbnails(page).get_by_role("button").click()
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "sdrt-7.png"
    with Image.open(download.value.path()) as picture:
        assert json.loads(picture.info["sdrt"])["seed"] == 7


def test_a_dropped_picture_brings_its_parameters(page: Page, boat: Path) -> None:
    option(page, "Negative prompt").fill("what was there before")
    drop(page, "#gallery", boat)
    expect_boat(page)
    expect(option(page, "Negative prompt")).not_to_have_value(re.compile("before"))
    expect(page.get_by_text("The picture's parameters are in the form.")).to_be_visible()


def test_a_picture_of_a_model_that_is_not_here_says_so(
    page: Page, boat: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.png"
    with Image.open(boat) as picture:
        chunks = PngInfo()
        chunks.add_text("sdrt", picture.info["sdrt"].replace('"demo"', '"elsewhere"'))
        picture.save(foreign, pnginfo=chunks)
    page.get_by_label("Take parameters from a picture").set_input_files(foreign)
    expect(page.get_by_text("This server has no model “elsewhere”.")).to_be_visible()
    expect_boat(page)


def test_a_picture_without_parameters_is_offered_as_start_picture(
    page: Page, tmp_path: Path, console: list[str]
) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (64, 64), "red").save(plain)
    drop(page, "#stage", plain)
    expect(page.get_by_text("This picture holds no parameters.")).to_be_visible()
    page.get_by_role("button", name="Start from it").click()
    expect(page.get_by_role("button", name="Paint a mask")).to_be_visible()
    expect_one(console, "status of 400")


def expect_one(console: list[str], text: str) -> None:
    """The browser reports one refused request, as it should."""
    assert len(console) == 1
    assert text in console.pop()


def test_the_seed_of_the_last_picture_is_taken_again(page: Page) -> None:
    same = page.get_by_role("button", name="Same again")
    expect(same).to_be_disabled()
    ask(page, "a red boat")
    expect(outcome(page)).to_contain_text("seed ")
    seed = str(newest(page).info["parameters"]).partition("Seed: ")[2].partition(",")[0]
    same.click()
    expect(option(page, "Seed")).to_have_value(seed)
    page.get_by_role("button", name="Random").click()
    expect(option(page, "Seed")).to_have_value("")


def test_a_seed_of_63_bits_is_kept_to_the_last_digit(page: Page) -> None:
    option(page, "Seed").fill(str(2**63 - 1))
    ask(page, "a red boat")
    expect(outcome(page)).to_contain_text(f"seed {2**63 - 1} ")


def test_an_option_that_the_server_refuses_is_named_beside_its_field(
    page: Page, console: list[str]
) -> None:
    width = option(page, "Width")
    width.fill("100000")
    ask(page, "a red boat")
    expect(width).to_have_attribute("aria-invalid", "true")
    expect(width).to_have_accessible_description(re.compile("^Width is 100000; expected"))
    expect(width).to_be_focused()
    width.fill("64")
    expect(width).not_to_have_attribute("aria-invalid", "true")
    expect_one(console, "status of 400")
    page.get_by_role("button", name="Generate").click()
    expect(outcome(page)).to_contain_text("64 × 128")


def test_a_preset_of_speed_blanks_what_it_stands_for(page: Page) -> None:
    option(page, "Steps").fill("3")
    option(page, "Sampler").select_option("Euler")
    option(page, "Guidance").fill("3")
    page.get_by_text("Fast", exact=True).click()
    expect(option(page, "Steps")).to_have_value("")
    expect(option(page, "Steps")).to_have_attribute("placeholder", "8")
    expect(option(page, "Sampler").locator("option:checked")).to_have_text("DPM++ 2M (preset)")
    expect(option(page, "Guidance")).to_have_value("3")
    page.get_by_role("button", name="Generate").click()
    expect(thumbnails(page)).to_have_count(1)
    assert "Steps: 8," in newest(page).info["parameters"]


def test_shapes_are_sizes_that_the_model_takes(page: Page) -> None:
    shapes = page.get_by_role("group", name="Size").get_by_role("button")
    expect(shapes).to_have_text(["Square", "Landscape", "Portrait", "Wide", "Tall"])
    page.get_by_role("button", name="Wide").click()
    expect(option(page, "Width")).to_have_value("168")
    expect(option(page, "Height")).to_have_value("96")
    expect(page.get_by_role("button", name="Wide")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Square").click()
    expect(option(page, "Width")).to_have_value("")


def test_a_server_that_cannot_be_reached_is_said_and_tried_again(
    page: Page, console: list[str]
) -> None:
    page.context.set_offline(True)
    ask(page, "a red boat")
    expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
    expect_one(console, "ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(thumbnails(page)).to_have_count(1)
