"""Pages for readers who use a keyboard or a screen reader, as axe-core sees them."""

from pathlib import Path

import pytest
from gatebook.run.pages import page_names
from playwright.sync_api import Browser

AXE = Path(__file__).resolve().parents[2] / "node_modules/axe-core/axe.min.js"
# The theory pages have all that a page can have; the others share their style.
CASES = [(name, "light") for name in page_names()]
CASES += [(name, "dark") for name in page_names() if name.startswith("theory/")]
RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter((found) => ["serious", "critical"].includes(found.impact))
  .map(({id, help, nodes}) => `${id}: ${help}: ` +
    nodes.map((n) => n.html.slice(0, 200)).slice(0, 5).join(" | "))"""


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_axe_finds_nothing_serious(site: str, browser: Browser, name: str, scheme: str):
    page = browser.new_page(
        color_scheme=scheme, viewport={"width": 1280, "height": 900}
    )
    page.goto(f"{site}/book/{name}.html", wait_until="networkidle")
    page.add_script_tag(path=AXE)
    assert page.evaluate(RUN) == []
    page.close()
