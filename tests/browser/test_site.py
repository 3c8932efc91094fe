"""The site as a reader sees it: wide and light, and on a phone and dark.

It is also read for those who use a keyboard or a screen reader, as axe-core sees it.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlparse

import nbformat
import pytest
from gatebook_book.pages.pages import find, page_names
from gatebook_book.site.colab import BRANCH, FOLDER
from gatebook_book.site.parameters import SHOWN
from playwright.sync_api import APIResponse, Browser, Page

BUILT = Path(__file__).resolve().parents[2] / "_build"
PAGES = page_names()
WITH_CODE = [name for name in PAGES if find(name).has_code]
WITH_FORMULAS = [name for name in WITH_CODE if "$" in find(name).file.read_text()]
AXE = Path(__file__).resolve().parent / "node_modules/axe-core/axe.min.js"
RUN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]}))
  .violations.filter((found) => ["serious", "critical"].includes(found.impact))
  .map(({id, help, nodes}) => `${id}: ${help}: ` +
    nodes.map((n) => n.html.slice(0, 200)).slice(0, 5).join(" | "))"""
OUT_OF_REACH = """() => [...document.querySelectorAll(".bd-article *")]
  .filter((e) => e.scrollWidth > e.clientWidth && e.tabIndex < 0)
  .filter((e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX))
  .map((e) => e.outerHTML.slice(0, 200))"""
"""Boxes that scroll sideways and that the tab key does not stop at."""


@dataclass
class Opened:
    """A page, and what went wrong while it was opened."""

    name: str
    page: Page
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@contextlib.contextmanager
def visit(
    browser: Browser, address: str, width: int = 1280, scheme: str = "light"
) -> Iterator[Opened]:
    """Open a page at a width and in a colour scheme."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    opened = Opened(address.partition("/book/")[2], context.new_page())
    page, note = opened.page, opened.errors.append
    page.on("console", lambda m: note(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: note(str(e)))
    page.on("requestfailed", lambda r: note(f"failed: {r.url}"))
    page.on("response", lambda r: note(f"{r.status}: {r.url}") if r.status > 399 else 0)
    page.on("request", lambda r: opened.hosts.add(urlparse(r.url).netloc))
    page.goto(f"{address}.html", wait_until="networkidle")
    try:
        yield opened
    finally:
        context.close()


# To open a page takes longer than to test it, so the tests share it. pytest runs all
# that have the same page one after the other, in the order below.


@pytest.fixture(scope="module")
def wide(browser: Browser, site: str, request: pytest.FixtureRequest):
    """A page of the book as a desk shows it, light."""
    with visit(browser, f"{site}/book/{request.param}") as opened:
        yield opened


@pytest.fixture(scope="module")
def phone(browser: Browser, site: str, request: pytest.FixtureRequest):
    """A page of the book as a phone shows it, dark."""
    with visit(browser, f"{site}/book/{request.param}", 390, "dark") as opened:
        yield opened


def of_pages(view: str, names: list[str] = PAGES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(view, names, indirect=True)


@of_pages("wide")
def test_a_page_opens_without_an_error_and_asks_no_other_host(wide, site):
    check_opened(wide, site, "light")


@of_pages("phone")
def test_a_phone_shows_the_page_in_the_dark_without_an_error(phone, site):
    check_opened(phone, site, "dark")


def check_opened(opened: Opened, site: str, scheme: str) -> None:
    assert opened.errors == []
    assert opened.hosts - {""} == {urlparse(site).netloc}
    told = f"document.documentElement.dataset.theme === {scheme!r}"
    opened.page.wait_for_function(told)


@of_pages("wide")
def test_axe_finds_nothing_serious(wide):
    wide.page.add_script_tag(path=AXE)
    assert wide.page.evaluate(RUN_AXE) == []


# The theory pages have all that a page can have; the others share their style.
@of_pages("phone", [name for name in PAGES if name.startswith("theory/")])
def test_axe_finds_nothing_serious_on_a_phone_in_the_dark(phone):
    phone.page.add_script_tag(path=AXE)
    assert phone.page.evaluate(RUN_AXE) == []


@of_pages("phone", WITH_CODE)
def test_what_scrolls_sideways_on_a_phone_is_reached_by_keyboard(phone):
    # A box is marked in the frame after the fonts are there.
    phone.page.evaluate("() => document.fonts.ready")
    phone.page.evaluate("() => new Promise((next) => setTimeout(next, 300))")
    assert phone.page.evaluate(OUT_OF_REACH) == []


@of_pages("phone", ["memory/copy", "theory/refine"])
def test_figures_have_light_ink_in_the_dark(phone):
    phone.page.wait_for_function(
        "[...document.querySelectorAll('.bd-article figure img[src*=\".svg\"]')]"
        ".every((image) => image.src.endsWith('.svg#dark'))"
    )


@of_pages("phone", ["memory/copy", "theory/refine"])
def test_a_phone_shows_panels_below_each_other(phone):
    shown = phone.page.locator("article figure picture:has(source) img")
    assert shown.count() >= 2
    for image in shown.all():
        assert image.evaluate("i => i.currentSrc").endswith("-narrow.svg")
        scrolls = (
            "i => i.closest('figure').scrollWidth > i.closest('figure').clientWidth"
        )
        assert not image.evaluate(scrolls)


@of_pages("phone")
def test_a_phone_shows_the_page_without_scrolling_sideways(phone):
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390


@of_pages("wide", WITH_CODE)
def test_every_figure_is_there_and_described(wide):
    page = wide.page
    source = find(wide.name).file.read_text()
    wanted = source.count("\n  figure:")  # whether a lesson has some is its own affair
    on_cards = source.count("{glue:figure}")  # with the card's text for a caption
    assert page.locator("article figure").count() == wanted + on_cards
    assert page.locator("article figure figcaption").count() == wanted
    for image in page.locator("article img").all():
        assert image.evaluate("i => i.complete && i.naturalWidth > 0")
        assert len(image.get_attribute("alt") or "") > 20


@of_pages("wide")
def test_no_head_of_a_column_is_empty(wide):
    heads = wide.page.locator("article th")
    empty = "all => all.filter((e) => !e.innerHTML.replace(/<.?p>/g, '').trim()).length"
    assert heads.evaluate_all(empty) == 0


@of_pages("wide", ["theory/refine"])
def test_what_is_printed_has_its_number_and_nothing_folded(wide):
    page = wide.page
    page.emulate_media(media="print")
    shown = [head for head in page.locator("h1").all() if head.is_visible()]
    assert [head.inner_text() for head in shown] == ["4. The refine gate"]
    folded = page.locator("article details:not([open])")
    before = folded.count()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    hidden = page.locator(".solution.dropdown p:not(.admonition-title)").first
    assert before > 0 and folded.count() == 0 and hidden.is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert folded.count() == before and not hidden.is_visible()


@of_pages("wide", WITH_FORMULAS)
def test_formulas_are_set_and_no_cell_failed(wide):
    page = wide.page
    formulas = page.locator(".math").count()
    assert formulas == page.locator(".math > mjx-container").count() > 0
    family = "e => getComputedStyle(e.querySelector('mjx-c'), '::before').fontFamily"
    assert "MJXTEX" in page.locator("mjx-container").first.evaluate(family)
    assert page.locator(".output.traceback").count() == 0
    assert "$" not in page.locator("article p").first.inner_text()


@of_pages("wide", WITH_CODE)
def test_code_can_be_copied_and_the_notebook_taken_along(wide):
    page = wide.page
    if wide.name != "playground":  # which shows no code
        assert page.locator("button.copybtn").count() >= 2
    source = taken(page, ".btn-download-source-button")
    assert "code-cell" in source.text()
    notebook = nbformat.reads(taken(page, ".btn-download-notebook-button").text(), 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in cells)


@of_pages("wide", WITH_CODE)
def test_a_button_leads_to_the_notebook_that_was_made_for_colab(wide):
    button = wide.page.locator("a.btn-colab-button").first
    assert button.inner_text().strip() == "Colab"
    branch, _, name = (button.get_attribute("href") or "").partition(f"/{BRANCH}/")
    assert branch.startswith("https://colab.research.google.com/github/")
    notebook = nbformat.read(BUILT / FOLDER / name, as_version=4)
    assert "%pip install" in notebook.cells[0].source
    assert name == f"book/{wide.name}.ipynb"


def taken(page: Page, button: str) -> APIResponse:
    address = page.locator(f"a{button}").first.get_attribute("href")
    answer = page.request.get(urljoin(page.url, address))
    assert answer.ok, address
    return answer


@of_pages("wide", ["memory/copy"])
def test_propositions_and_exercises_are_numbered_and_solutions_folded(wide):
    page = wide.page
    assert page.locator(".proof.proposition .caption-number").count() == 2
    solution = page.locator(".solution.dropdown").first
    hidden = solution.locator("p:not(.admonition-title)").first
    assert not hidden.is_visible()
    solution.locator("button").first.click()
    assert hidden.is_visible()


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


def test_a_link_into_a_page_leads_to_its_place_and_formulas_do_not_move_it(
    browser, site
):
    with visit(browser, f"{site}/book/theory/gate") as opened:
        page = opened.page
        page.goto(f"{site}/book/theory/gate.html?again#prop-gate-fastest")
        page.wait_for_timeout(1500)  # the page glides there, and fonts arrive
        place = page.locator("#prop-gate-fastest").bounding_box()
        assert place and 0 <= place["y"] < 150


def test_parameters_are_folded_below_what_they_are(browser, site):
    with visit(browser, f"{site}/book/memory/copy") as opened:
        folded = opened.page.locator(".tag_parameters details")
        assert folded.count() == 1 and folded.get_attribute("open") is None
        assert folded.locator("summary").inner_text().strip() == SHOWN


@pytest.mark.parametrize(
    "typed, title",
    [
        ("refine gate", "The refine gate"),
        ("timescales uniform", "Uniform gates and timescales"),
        ("gates over words", "Gates over words"),
        ("playground", "Playground: train a gate here"),
        ("ledger", "Ledger of claims"),
    ],
)
def test_search_finds_the_page_whose_title_was_typed(browser, site, typed, title):
    with visit(browser, f"{site}/search") as opened:
        opened.page.goto(f"{opened.page.url}?q={typed.replace(' ', '+')}")
        first = opened.page.locator("#search-results li a").first
        assert first.inner_text(timeout=15_000) == title
        assert opened.errors == []


def test_search_finds_a_word_of_the_book(browser, site):
    with visit(browser, f"{site}/search") as opened:
        opened.page.goto(opened.page.url + "?q=refine")
        opened.page.wait_for_selector("#search-results li", timeout=15_000)
        found = opened.page.locator("#search-results").inner_text().lower()
        assert "gate" in found
        assert opened.errors == []


def test_the_root_leads_to_the_first_page(browser, site):
    # What the redirecting page had asked for is cut off when the browser leaves it, so
    # only where it leads is tested.
    with visit(browser, f"{site}/index") as opened:
        opened.page.wait_for_url("**/book/index.html")
