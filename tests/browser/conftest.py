"""The built site, served on this machine, and a browser to read it with."""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gatebook_book.site.book import stale_pages
from playwright.sync_api import Browser, Error, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log line for each."""

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Takes no notice of a browser that leaves before it has read everything."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of the book.

    What `make book` built is tested as it is if no page of it is stale; else the book
    is built at the smoke profile.
    """
    profile = "smoke" if stale_pages("book") else "book"
    command = [sys.executable, "-m", "gatebook_book.cli", "build", "--profile", profile]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GATEBOOK")}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    handler = functools.partial(Quiet, directory=ROOT / "_build/html")
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def found() -> dict[str, Any]:
    """How to start the browser that `tools/browser.py` found or fetched.

    With nothing in it, Playwright takes its own.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return {"executable_path": path}
    own = Path(__file__).parent / "node_modules/chromium"
    if not (own / "chromium").exists():
        return {}
    settings = {"LD_LIBRARY_PATH": str(own / "lib"), "FONTCONFIG_PATH": str(own)}
    if Path("/etc/fonts").exists():  # the machine's fonts
        del settings["FONTCONFIG_PATH"]
    return {"executable_path": own / "chromium", "env": {**os.environ, **settings}}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser; without one the tests are skipped, but not in CI.

    One that is there and does not start is an error.
    """
    options = found()
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(**options, args=FLAGS)
        except Error:
            if options or os.environ.get("CI"):
                raise
            pytest.skip("no browser; `python tools/browser.py` says why")
        yield started
        started.close()
