"""Parameters of a page in the built site."""

import pytest
from gatebook_book.site.parameters import SHOWN
from sphinx.testing.util import SphinxTestApp

CONF = """extensions = ["myst_nb", "gatebook_book.site.parameters"]
nb_execution_mode = "off"
"""
PAGE = """---
file_format: mystnb
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# A page

```{code-cell} ipython3
:tags: [parameters]
length: int = 5  # the delay
```

```{code-cell} ipython3
:tags: [parameters, remove-input]
removed = 1
```

```{code-cell} ipython3
shown = 2
```
"""


@pytest.fixture
def built(tmp_path):
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.md").write_text(PAGE)
    app = SphinxTestApp(srcdir=tmp_path)
    app.build()
    yield (tmp_path / "_build/html/index.html").read_text()
    app.cleanup()


def test_parameters_are_folded_and_other_code_is_not(built):
    folded, rest = built.split("<details", 1)[1].split("</details>", 1)
    assert SHOWN.replace("'", "&#x27;") in folded and "length" in folded
    assert "shown" in rest and "<details class" not in rest
    assert "removed" not in built
