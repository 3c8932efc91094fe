"""A Sphinx extension: a site that was built for tests says so on every page.

The live runs of the profile ``smoke`` have a handful of steps. The text beside them
speaks of the profile ``book``, and would seem wrong.
"""

import os

from sphinx.application import Sphinx
from sphinx.config import Config

PROFILE = "GATEBOOK_BUILT"
"""The variable by which the build tells Sphinx its profile."""

WORDS = (
    "Built for tests: the live runs on these pages have a handful of steps and show "
    "nothing. make book builds the book."
)


def announce(app: Sphinx, config: Config) -> None:
    """Let the theme show the banner."""
    if os.environ.get(PROFILE) == "smoke":
        config.html_theme_options["announcement"] = WORDS


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("config-inited", announce)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
