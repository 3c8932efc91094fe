"""Milliseconds that the browser takes to redraw a widget after a slider moved.

    make book
    python bench/widgets.py [--moves 200]

Each slider of each page with widgets is moved from end to end; moves that leave its
value as it was do not count. A figure covers the widget's own script and the layout
that follows, not the painting. A screen that shows 60 pictures a second leaves 16 ms.

The playground is measured in steps of training a second: two models side by side that
copy over 10 steps with 32 units, so that two cores have one each.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HTML = Path(__file__).resolve().parent.parent / "_build/html/book"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MOVE = """(slider, moves) => {
  const low = Number(slider.min);
  const size = Number(slider.max) - low;
  const root = slider.closest(".gatebook-widget");
  const times = [];
  for (let k = 0; k < moves; k += 1) {
    const before = root.dataset.drawn;
    slider.value = low + (size * k) / (moves - 1);
    const started = performance.now();
    slider.dispatchEvent(new Event("input"));
    root.getBoundingClientRect();
    const taken = performance.now() - started;
    if (root.dataset.drawn !== before) times.push(taken);
  }
  return times;
}"""


def measure(page: Page, file: Path, moves: int) -> None:
    """Print a line for each slider of a page."""
    page.goto(file.as_uri())
    page.wait_for_selector(".gatebook-widget")
    for slider in page.locator(".gatebook-widget:not(.playground) input").all():
        slider.evaluate(MOVE, moves)  # the first moves warm up
        times = sorted(slider.evaluate(MOVE, moves))
        widget = slider.locator("xpath=ancestor::*[@data-widget]")
        name = f"{widget.get_attribute('data-widget')}.{slider.get_attribute('name')}"
        late = times[int(0.99 * len(times))]
        print(f"{name:24} {statistics.median(times):8.2f} {late:8.2f} {times[-1]:8.2f}")


SET = """(root, values) => {
  for (const [name, value] of Object.entries(values)) {
    const control = root.querySelector(`[name=${name}]`);
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }
}"""


WINDOWS = 8


def train(page: Page, file: Path) -> None:
    """Print how many steps per second the playground's models make, at their best.

    The best of some windows of a second says what the machine can do, whatever else
    runs on it.
    """
    page.goto(file.as_uri())
    root = page.locator(".playground")
    root.evaluate(SET, {"task": "copy", "delay": 10, "units": 32, "rate": 0.001})
    page.wait_for_timeout(2000)
    root.locator(".go").click()
    best, before = [0.0, 0.0], [(0, 0.0)] * 2
    for _ in range(WINDOWS):
        page.wait_for_timeout(1000)
        told = json.loads(root.get_attribute("data-drawn") or "")
        now = [(side["step"], side["seconds"]) for side in told["sides"]]
        for k, ((s1, t1), (s0, t0)) in enumerate(zip(now, before, strict=True)):
            best[k] = max(best[k], (s1 - s0) / max(t1 - t0, 1e-9))
        before = now
    for name, rate in zip(("left", "right"), best, strict=True):
        print(f"{'training ' + told['choice'][name]:24} {rate:8.0f} steps/s")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200)
    options = parser.parse_args()
    pages = [f for f in sorted(HTML.rglob("*.html")) if "widget-view" in f.read_text()]
    if not pages:
        parser.error(f"no page with widgets in {HTML}; run `make book` first")
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        print(f"Chromium {browser.version}, {options.moves} moves a slider, ms")
        print(f"{'':24} {'median':>8} {'99 %':>8} {'longest':>8}")
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for file in pages:
            measure(page, file, options.moves)
        train(page, HTML / "playground.html")


if __name__ == "__main__":
    main()
