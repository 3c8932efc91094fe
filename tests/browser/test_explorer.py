"""The gate explorer in a page without a server: it loads its data when it is opened."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gatebook_book.site.mend import MARKER
from gatebook_book.widgets import GateExplorer
from gatebook_book.widgets.gate_explorer import FILE, MOMENTS, stored_moments
from playwright.sync_api import Browser, Locator, Page, expect

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(__file__).resolve().parent / "node_modules/axe-core/axe.min.js"
RUN_AXE = "async () => (await axe.run()).violations.map((v) => JSON.stringify(v.nodes))"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Explorer</title>
<meta name="viewport" content="width=device-width"><body style="margin: 16px"><main>
<h1>Explorer</h1>{marker}</main>
<script type="application/vnd.jupyter.widget-state+json">{states}</script>
<script defer src="_static/widgets.js"></script></body></html>"""
STORED = json.loads(stored_moments())
RUNS, DELAY = STORED["runs"], STORED["parameters"]["length"]
LAST = len(MOMENTS) - 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with an explorer, and beside it what the site has there."""
    folder = tmp_path_factory.mktemp("explorer")
    state = json.dumps({"state": {"e": {"state": GateExplorer().get_state()}}})
    marker = f'{MARKER}{{"model_id": "e"}}</script>'
    text = PAGE.format(marker=marker, states=state.replace("</", "<\\/"))
    (folder / "page.html").write_text(text)
    (folder / "_static").mkdir()
    shutil.copy(ROOT / "book/_static/widgets.js", folder / "_static")
    shutil.copy(ROOT / FILE, folder / "_static")
    return folder


@pytest.fixture
def go(browser: Browser, folder: Path) -> Iterator[Callable[..., Page]]:
    """Open the page; an error in it fails the test."""
    contexts, errors = [], []

    def go(**options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto((folder / "page.html").as_uri())
        page.wait_for_selector(".explorer button")
        return page

    yield go
    for context in contexts:
        context.close()
    assert errors == []


def opened(page: Page) -> Page:
    page.get_by_role("button", name="Open the explorer").press("Enter")
    page.wait_for_selector(".explorer[data-drawn]")
    return page


def told(page: Page) -> dict[str, Any]:
    return json.loads(page.locator(".explorer").get_attribute("data-drawn") or "")


def check(page: Page, left: str, right: str, moment: int) -> None:
    """The picture shows what is stored of these runs at this moment."""
    page.wait_for_function(
        "(wanted) => { const d = JSON.parse("
        "document.querySelector('.explorer').dataset.drawn);"
        "return [d.left, d.right, d.moment].join() === wanted; }",
        arg=f"{left},{right},{moment}",
    )
    for side, name in zip(told(page)["sides"], (left, right), strict=True):
        curves = RUNS[name]["curves"]
        place = curves["step"].index(MOMENTS[moment])
        assert side["step"] == MOMENTS[moment]
        assert side["loss"] == curves["loss"][place]
        assert side["accuracy"] == curves["accuracy"][place]
        assert side["long"] == sum(1 / (1 - g) > DELAY for g in side["means"])


def test_nothing_is_loaded_before_it_is_opened(go):
    page = go()
    asked = []
    page.on("request", lambda r: asked.append(Path(r.url).name))
    page.wait_for_timeout(200)
    assert asked == [] and page.locator("canvas, select").count() == 0
    opened(page)
    assert [name for name in asked if name.endswith(".js")] == ["copy-gates.js"]
    check(page, "LSTM", "UR", LAST)


def test_the_keyboard_goes_through_training_and_chooses_gates(go):
    page = opened(go())
    slider = page.locator("input[type=range]")
    expect(slider).to_be_focused()
    pictures = [drawn_on(page)]
    for key, moment in (("Home", 0), ("ArrowRight", 1), ("End", LAST)):
        page.keyboard.press(key)
        check(page, "LSTM", "UR", moment)
        assert slider.get_attribute("aria-valuetext") == f"{MOMENTS[moment]:,}"
        said = page.locator("[aria-live=polite]").inner_text()
        assert said.startswith(f"After {MOMENTS[moment]:,} steps: LSTM, loss ")
        pictures.append(drawn_on(page))
    assert pictures[0] == pictures[3] and len(set(pictures)) == 3
    page.get_by_label("one gate").select_option("C")
    page.get_by_label("the other").select_option("U")
    check(page, "C", "U", LAST)
    assert page.locator(".who").all_inner_texts() == ["C", "U"]
    before = drawn_on(page)
    page.get_by_label("units sorted").select_option("start")
    page.wait_for_function("(old) => canvases() !== old", arg=before)


CANVASES = """globalThis.canvases = () => [...document.querySelectorAll("canvas")]
  .map((c) => c.toDataURL()).join()"""


def drawn_on(page: Page) -> str:
    page.evaluate(CANVASES)
    return page.evaluate("canvases()")


def test_it_moves_by_itself_only_when_asked_and_until_it_is_paused(go):
    page = opened(go())
    page.wait_for_timeout(900)
    check(page, "LSTM", "UR", LAST)
    page.get_by_role("button", name="Play").press("Enter")
    check(page, "LSTM", "UR", 0)
    check(page, "LSTM", "UR", 1)
    page.get_by_role("button", name="Pause").press("Enter")
    page.wait_for_timeout(900)
    check(page, "LSTM", "UR", 1)
    said = page.locator("[aria-live=polite]").inner_text()
    assert said.startswith("After 100 steps:")


@pytest.mark.parametrize("width", [1280, 390])
def test_all_of_it_has_a_name_and_fits(go, width):
    viewport = {"width": width, "height": 800}
    page = opened(go(viewport=viewport, color_scheme="dark"))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for image in page.locator("[role=img]:visible").all():
        assert len(name_of(image)) > 20
    page.add_script_tag(path=AXE)
    assert page.evaluate(RUN_AXE) == []


def name_of(image: Locator) -> str:
    said = image.get_attribute("aria-label")
    return said or image.locator("title").first.text_content() or ""


def test_without_the_file_it_says_so_and_can_be_tried_again(go, folder):
    file = folder / "_static" / Path(FILE).name
    page = go()
    away = file.rename(file.with_suffix(".away"))
    try:
        page.get_by_role("button", name="Open the explorer").click()
        words = page.locator(".words")
        expect(words).to_have_text(
            "The gates could not be loaded: copy-gates.js is not there."
        )
    finally:
        away.rename(file)
    check(opened(page), "LSTM", "UR", LAST)


def test_a_kernel_is_asked_where_there_is_no_page_around_it(browser):
    """As JupyterLab has it; a view that goes leaves no listener."""
    page = browser.new_page()
    state = GateExplorer().get_state() | {"_sent": stored_moments()}
    found = page.evaluate(
        """async (state) => {
          const blob = new Blob([state._esm], { type: "text/javascript" });
          const { default: made } = await import(URL.createObjectURL(blob));
          const listeners = new Map();
          const model = {
            get: (name) => state[name],
            set: (name, value) => { state[name] = value; },
            on: (name, f) => listeners.set(name, f),
            off: (name, f) => listeners.get(name) === f && listeners.delete(name),
            save_changes: () => {
              if (!state.opened || state._moments) return;
              state._moments = state._sent;
              listeners.get("change:_moments")();
            },
          };
          const leave = made.render({ model, el: document.body });
          document.querySelector("button").click();
          while (!document.querySelector("[data-drawn]"))
            await new Promise((done) => setTimeout(done, 20));
          const during = listeners.size;
          leave();
          return [during, listeners.size];
        }""",
        state,
    )
    assert found == [4, 0]
    page.close()
