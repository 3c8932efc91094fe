"""The playground trains in a page without a server, and says what it does."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gatebook_book.site.mend import MARKER
from gatebook_book.widgets import Playground
from playwright.sync_api import Browser, Locator, Page, expect

ROOT = Path(__file__).resolve().parents[2]
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Playground</title>
<meta name="viewport" content="width=device-width"><body style="margin: 16px">
{marker}<script type="application/vnd.jupyter.widget-state+json">{states}</script>
<script defer src="{loader}"></script></body></html>"""
NO_WORKERS = "delete window.Worker"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with a playground of small models, which are not soon at an end."""
    made = Playground(delay=10, units=16, rate=0.003, left="LSTM", right="UR")
    states = json.dumps({"state": {"p": {"state": made.get_state()}}})
    file = tmp_path_factory.mktemp("playground") / "page.html"
    file.write_text(
        PAGE.format(
            marker=f'{MARKER}{{"model_id": "p"}}</script>',
            states=states.replace("</", "<\\/"),
            loader=(ROOT / "book/_static/widgets.js").as_uri(),
        )
    )
    return file.as_uri()


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the file; an error in the page fails the test."""
    contexts, errors = [], []

    def go(script: str = "", **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.add_init_script(script)
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("console", lambda m: errors.append(m.text) if m.type != "log" else 0)
        page.goto(address)
        page.wait_for_selector(".playground[data-drawn]")
        return page

    yield go
    for context in contexts:
        context.close()
    assert errors == []


def told(page: Page) -> dict[str, Any]:
    return json.loads(page.locator(".playground").get_attribute("data-drawn") or "")


def wait(page: Page, condition: str) -> None:
    """Wait for a condition on what is drawn, ``d``."""
    page.wait_for_function(
        "(text) => { const d = JSON.parse("
        "document.querySelector('.playground').dataset.drawn);"
        "return new Function('d', `return ${text}`)(d); }",
        arg=condition,
    )


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).press("Enter")


@pytest.mark.parametrize("script", ["", NO_WORKERS], ids=["workers", "frames"])
def test_both_models_learn_until_they_are_paused(opened, script):
    page = opened(script)
    begun = told(page)["sides"]
    assert all(side["step"] == 0 and side["loss"] > 2.15 for side in begun)
    press(page, "Train")
    wait(page, "d.sides.every((side) => side.step > 100)")
    press(page, "Pause")
    page.wait_for_timeout(400)
    found = told(page)
    # Knowing nothing costs ln 8 = 2.08, and they start above it.
    assert all(side["loss"] < 2.15 and side["seconds"] > 0 for side in found["sides"])
    assert not any(side["done"] for side in found["sides"])
    page.wait_for_timeout(400)
    assert told(page) == found
    said = page.locator("[aria-live=polite]").inner_text()
    assert re.search(r"Paused\. LSTM \d+ steps.*UR .*steps", said)
    press(page, "Start again")
    wait(page, "d.sides.every((side) => side.step === 0)")


def test_a_preset_and_each_control_start_anew(opened):
    page = opened()
    page.get_by_role("button", name="The wall").click()
    wait(page, "d.choice.task === 'copy' && d.choice.right === 'UR'")
    assert page.locator("select[name=task]").input_value() == "copy"
    page.locator("select[name=right]").select_option("O")
    wait(page, "d.choice.right === 'O'")
    expect(page.locator(".racer .who").nth(1)).to_have_text("O")
    page.locator("input[name=left_p]").press("End")
    wait(page, "d.choice.left_p === 1")
    page.get_by_text("Size, rate and seed").click()
    page.get_by_label("seed").fill("7")
    page.get_by_label("seed").press("Tab")
    wait(page, "d.choice.seed === 7")


def test_everything_has_a_name_and_a_phone_shows_it(opened):
    page = opened(viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    delay = page.locator(
        "input[name=delay]"
    )  # the choices are folded, training is at hand
    assert page.get_by_role("button", name="Train").is_visible()
    assert not delay.is_visible()
    page.get_by_text("Task and gates").click()
    assert delay.is_visible()
    for control in page.locator("select, input").all():
        label = page.locator(f"label[for={control.get_attribute('id')}]")
        assert label.inner_text().strip() or not control.is_visible()
    for image in page.locator("[role=img]").all():
        named(image)


def named(image: Locator) -> None:
    title = image.locator("title")
    said = image.get_attribute("aria-label")
    assert len(said or title.first.text_content() or "") > 20
