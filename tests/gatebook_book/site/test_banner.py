"""The banner of a site that was built for tests."""

import pytest
from gatebook_book.site import banner
from sphinx.application import Sphinx
from sphinx.config import Config


@pytest.mark.parametrize("profile, shown", [("smoke", True), ("book", False)])
def test_only_a_site_of_the_smoke_profile_says_what_it_is(monkeypatch, profile, shown):
    monkeypatch.setenv(banner.PROFILE, profile)
    config = Config()
    config.html_theme_options = {}
    banner.announce(Sphinx.__new__(Sphinx), config)
    assert ("announcement" in config.html_theme_options) == shown
