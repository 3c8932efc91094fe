"""The widgets in a running JupyterLab: kernel and picture share their values."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import urlopen

import nbformat
import pytest
from gatebook_book import widgets
from gatebook_book.widgets.base import Widget
from playwright.sync_api import Browser, Locator, Page, expect

TOKEN = "of-this-test"
NAMES = [n for n in widgets.__all__ if issubclass(getattr(widgets, n), Widget)]
CELLS = [
    f"from gatebook_book.widgets import {', '.join(NAMES)}\n"
    f"made = [{', '.join(f'{name}()' for name in NAMES)}]",
    *(f"made[{k}]" for k in range(len(NAMES))),
]
NUMBERED = re.compile(r"\[\d+\]")
SET = {"p": 0.5, "sentence": 3, "horizon": 30.0, "tau": 1.5, "digit": 6, "place": 2}
SET |= {"r": 0.25, "x": 10.0, "bias": 2.5}  # a trait of each widget, in their order
ASSIGN = "\n".join(f"made[{k}].{name} = {SET[name]}" for k, name in enumerate(SET))
TELL = (
    "import json\nprint(json.dumps([{name: getattr(w, name) for name in w.ranges()} "
    "for w in made]), 'END')"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a notebook in a JupyterLab with files in a folder of its own."""
    home = tmp_path_factory.mktemp("lab")
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(text) for text in [*CELLS, ASSIGN, TELL]]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (home / "notebooks").mkdir()
    news = home / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    nbformat.write(book, home / "notebooks/widgets.ipynb")
    port = free_port()
    process = start(home, port)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api?token={TOKEN}", process, home / "log")
        yield f"{address}/doc/tree/widgets.ipynb?token={TOKEN}"
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(home: Path, port: int) -> subprocess.Popen[bytes]:
    places = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    environment = os.environ | {f"JUPYTER_{name}": str(home) for name in places}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(home), "IPYTHONDIR": str(home)}
    settings = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={home / 'notebooks'}",
        f"--IdentityProvider.token={TOKEN}",
        "--LabApp.extension_manager=readonly",
    ]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *settings],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urlopen(address, timeout=5):
                return
        except URLError:
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not answer: {log.read_text()[-3000:]}")


def run_cells(page: Page, first: int, count: int) -> None:
    """Run some cells and wait until the last of them has its number."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    cells.nth(first).locator(".cm-content").click()
    for _ in range(count):
        page.keyboard.press("Shift+Enter")
    prompt = cells.nth(first + count - 1).locator(".jp-InputPrompt")
    expect(prompt).to_have_text(NUMBERED, timeout=60_000)


def values(widget: Locator) -> dict[str, float]:
    """The sliders' values, without lists such as the boxes of `Horizon`."""
    found = json.loads(widget.get_attribute("data-drawn") or "")["values"]
    return {name: value for name, value in found.items() if not isinstance(value, list)}


def kernel_values(page: Page) -> list[dict[str, float]]:
    """What the notebook's last cell prints: all values as the kernel has them."""
    last = len(CELLS) + 1
    run_cells(page, last, 1)
    output = page.locator(".jp-CodeCell").nth(last).locator(".jp-OutputArea-output")
    expect(output).to_contain_text("END")
    return json.loads(output.inner_text().split("END")[0])


def drag(page: Page, widget: Locator) -> None:
    slider = widget.locator("input").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, y, steps=5)
    page.mouse.up()


def test_a_drag_reaches_the_kernel_and_a_cell_moves_the_picture(
    lab: str, browser: Browser
):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    hosts: set[str] = set()
    page.on("request", lambda r: hosts.add(urlparse(r.url).netloc))
    page.goto(lab)
    # What is run before the kernel is there is lost.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    run_cells(page, 0, len(CELLS))
    shown = [page.locator(f"[data-widget={name}]") for name in NAMES]
    for widget in shown:
        before = widget.locator(".panels").inner_html()
        drag(page, widget)
        assert widget.locator(".panels").inner_html() != before
    dragged = [values(widget) for widget in shown]
    assert kernel_values(page) == dragged

    run_cells(page, len(CELLS), 1)
    for widget, (name, value) in zip(shown, SET.items(), strict=True):
        said = re.compile(rf'"{name}":{value:g}\b')
        expect(widget).to_have_attribute("data-drawn", said)
    assert kernel_values(page) == [
        old | {name: value}
        for old, (name, value) in zip(dragged, SET.items(), strict=True)
    ]
    assert hosts - {""} == {urlparse(lab).netloc}
    page.close()
