"""Tests run side by side; what one file or folder builds is built once."""

import pytest
from gatebook_book.paths import root


@pytest.mark.parametrize(
    ("name", "together"),
    [
        ("tests/gatebook/test_a.py::test_one", "tests/gatebook/test_a.py"),
        ("tests/gatebook/test_a.py::test_two[a/b-c]", "tests/gatebook/test_a.py"),
        ("tests/browser/test_site.py::test_one", "tests/browser"),
        ("tests/browser/test_widgets.py::test_one[a/b-http]", "tests/browser"),
    ],
)
def test_a_file_stays_on_one_core_and_so_does_the_browser(request, name, together):
    conftest = request.config.pluginmanager.get_plugin(
        str(root() / "tests/conftest.py")
    )
    spread = object.__new__(conftest.FilesTogether)
    assert spread._split_scope(name) == together
