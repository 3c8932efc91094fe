"""The site as a reader sees it: wide and phone, light and dark."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlparse

import nbformat
import pytest
from gatebook.run.pages import find, page_names
from playwright.sync_api import APIResponse, Browser, Page

PAGES = page_names()
WITH_CODE = [name for name in PAGES if find(name).has_code]
SET_ALL = "() => window.MathJax?.startup?.document?.lazyTypesetAll?.()"
"""The formulas out of sight too, which a page sets a second later."""


@dataclass
class Opened:
    """A page, and what went wrong while it was opened."""

    page: Page
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@pytest.fixture
def visit(site: str, browser: Browser):
    """Open a page of the site at a width and in a colour scheme."""
    contexts = []

    def go(name: str, width: int = 1280, scheme: str = "light") -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        contexts.append(context)
        opened = Opened(context.new_page())
        note = opened.errors.append
        opened.page.on("console", lambda m: note(m.text) if m.type == "error" else None)
        opened.page.on("pageerror", lambda e: note(str(e)))
        opened.page.on("requestfailed", lambda r: note(f"failed: {r.url}"))
        opened.page.on(
            "response", lambda r: note(f"{r.status}: {r.url}") if r.status > 399 else 0
        )
        opened.page.on("request", lambda r: opened.hosts.add(urlparse(r.url).netloc))
        opened.page.goto(f"{site}/{name}.html", wait_until="networkidle")
        return opened

    yield go
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_an_error_and_asks_no_other_host(
    visit, site, name, scheme
):
    opened = visit(f"book/{name}", scheme=scheme)
    assert opened.errors == []
    assert opened.hosts - {""} == {urlparse(site).netloc}
    theme = opened.page.evaluate("document.documentElement.dataset.theme")
    assert theme == scheme


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_the_page_without_scrolling_sideways(visit, name):
    page = visit(f"book/{name}", width=390).page
    page.evaluate(SET_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("name", WITH_CODE)
def test_every_figure_is_there_and_described(visit, name):
    page = visit(f"book/{name}").page
    wanted = find(name).file.read_text().count("\n  figure:")
    figures = page.locator("article figure")
    assert figures.count() == wanted  # that a lesson has some is for its source to say
    assert page.locator("article figure figcaption").count() == wanted
    for image in page.locator("article img").all():
        assert image.evaluate("i => i.complete && i.naturalWidth > 0")
        assert len(image.get_attribute("alt") or "") > 20


@pytest.mark.parametrize("name", WITH_CODE)
def test_formulas_are_set_and_no_cell_failed(visit, name):
    page = visit(f"book/{name}").page
    page.wait_for_selector("mjx-container", timeout=10_000)
    page.evaluate(SET_ALL)
    assert page.locator("mjx-lazy").count() == 0
    assert page.locator("mjx-merror").count() == 0
    assert page.locator(".output.traceback").count() == 0
    assert "$" not in page.locator("article p").first.inner_text()


def test_a_link_into_a_page_leads_to_its_place_and_formulas_do_not_move_it(visit, site):
    page = visit("book/theory/gate").page
    page.goto(f"{site}/book/theory/gate.html?again#prop-gate-fastest")
    page.wait_for_timeout(1500)  # when the formulas out of sight would be set
    place = page.locator("#prop-gate-fastest").bounding_box()
    assert place and 0 <= place["y"] < 150


@pytest.mark.parametrize("name", WITH_CODE)
def test_code_can_be_copied_and_the_notebook_taken_along(visit, site, name):
    page = visit(f"book/{name}").page
    assert page.locator("button.copybtn").count() >= 3
    source = taken(page, ".btn-download-source-button")
    assert "code-cell" in source.text()
    notebook = nbformat.reads(taken(page, ".btn-download-notebook-button").text(), 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in cells)


def taken(page: Page, button: str) -> APIResponse:
    address = page.locator(f"a{button}").first.get_attribute("href")
    answer = page.request.get(urljoin(page.url, address))
    assert answer.ok, address
    return answer


def test_search_finds_a_word_of_the_book(visit):
    opened = visit("search")
    opened.page.goto(opened.page.url + "?q=refine")
    opened.page.wait_for_selector("#search-results li", timeout=15_000)
    assert "gate" in opened.page.locator("#search-results").inner_text().lower()
    assert opened.errors == []


def test_propositions_and_exercises_are_numbered_and_solutions_folded(visit):
    page = visit("book/memory/copy").page
    assert page.locator(".proof.proposition .caption-number").count() == 2
    solution = page.locator(".solution.dropdown").first
    hidden = solution.locator("p:not(.admonition-title)").first
    assert not hidden.is_visible()
    solution.locator("button").first.click()
    assert hidden.is_visible()


def test_the_root_leads_to_the_first_page(visit):
    # What the redirecting page had asked for is cut off when the browser leaves it, so
    # only where it leads is tested.
    visit("index").page.wait_for_url("**/book/index.html")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_inside_the_site_leads_somewhere(site, name):
    html = Path(__file__).resolve().parents[2] / "_build/html"
    address = f"{site}/book/{name}.html"
    text = (html / f"book/{name}.html").read_text()
    links = re.findall(r"<a\b[^>]*?\bhref=\"([^\"]+)", text)
    assert links
    for link in links:
        target = urlparse(urljoin(address, link))
        if target.netloc == urlparse(site).netloc:
            file = html / target.path.lstrip("/")
            assert file.is_file(), f"{name} links to {target.path}"
