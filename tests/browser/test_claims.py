"""The ledger's table in a page by itself: folding, filters, words, links to a claim."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gatebook_book.figures import claims
from gatebook_book.runs import ledger
from playwright.sync_api import Browser, Locator, Page, expect

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("memory/copy", "memory/forgetting", "pixels/mnist")
ROWS = [row for page in PAGES for row in ledger.entries(page)]
FILE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Ledger</title>
<body class="bd-article"><main>{table}</main><script>{script}</script></body></html>"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with the table of three pages' claims."""
    file = tmp_path_factory.mktemp("claims") / "ledger.html"
    script = (ROOT / "book/_static/claims.js").read_text(encoding="utf-8")
    table = claims.table(ROWS, with_page=True).data
    file.write_text(FILE.format(table=table, script=script), encoding="utf-8")
    return file.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(address)
    yield page
    page.close()


def seen(page: Page) -> int:
    """How many claims are in sight."""
    return page.locator("tr[id]:visible").count()


def chooser(page: Page, name: str) -> Locator:
    return page.locator("label", has_text=re.compile(f"^{name}")).locator("select")


def test_titles_come_first_and_unfold_their_claims(page: Page) -> None:
    titles = page.locator("button.claims-title")
    assert titles.count() == len(PAGES) and seen(page) == 0
    titles.first.click()
    expect(titles.first).to_have_attribute("aria-expanded", "true")
    assert seen(page) == len(ledger.entries("memory/copy"))
    titles.first.click()
    assert seen(page) == 0
    page.get_by_role("button", name="unfold all").click()
    assert seen(page) == len(ROWS)
    page.get_by_role("button", name="fold all").click()
    assert seen(page) == 0


def test_a_filter_shows_the_claims_that_fit_and_no_others(page: Page) -> None:
    chooser(page, "paper").select_option("P3")
    wanted = [row for row in ROWS if claims.paper_of(row) == "P3"]
    assert seen(page) == len(wanted)
    assert page.locator("button.claims-title:visible").count() == 1
    chooser(page, "verdict").select_option("differs (small)")
    both = sum(row.verdict == "differs (small)" for row in wanted)
    assert seen(page) == both
    expect(page.locator("output")).to_have_text(f"{both} of {len(ROWS)} claims")
    chooser(page, "paper").select_option("")
    chooser(page, "verdict").select_option("")
    assert seen(page) == 0


def test_words_find_a_claim_in_any_order(page: Page) -> None:
    page.get_by_label("words").fill("FASTER h-detach rate")
    found = page.locator("tr[id]:visible summary")
    assert found.all_inner_texts() == ["h-detach learns faster at half the rate too"]
    page.get_by_label("words").fill("ur solves task (left)")  # not the UR in "Figure"
    assert found.all_inner_texts() == ["UR solves the copy task"]


def test_sorted_by_verdict_what_was_decided_comes_first(page: Page) -> None:
    chooser(page, "order").select_option("verdict")
    verdicts = [
        row.get_attribute("data-verdict") for row in page.locator("tr[id]").all()
    ]
    assert seen(page) == len(ROWS)
    decided = ["reproduced", "partly", "contradicted", "undecided"]
    places = [decided.index(v) for v in verdicts if v in decided]
    assert places and places == sorted(places) and verdicts[-1] not in decided
    chooser(page, "order").select_option("")
    ids = [row.get_attribute("id") for row in page.locator("tr[id]").all()]
    assert ids[0] == "claim-memory-copy-1" and len(ids) == len(ROWS)


def test_a_link_to_a_claim_opens_it_whatever_was_chosen(
    page: Page, address: str
) -> None:
    chooser(page, "paper").select_option("P3")
    page.evaluate("location.hash = 'claim-memory-forgetting-2'")
    row = page.locator("#claim-memory-forgetting-2")
    expect(row.locator("blockquote, dl").first).to_be_visible()
    page.goto("about:blank")
    page.goto(f"{address}#claim-memory-copy-3")
    expect(page.locator("#claim-memory-copy-3 dl")).to_be_visible()
    assert seen(page) == len(ledger.entries("memory/copy"))


def test_without_javascript_it_is_a_table(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert seen(page) == len(ROWS)
    assert (
        page.locator("span.claims-title").all_inner_texts()[0] == "Copying over a delay"
    )
    context.close()
