"""A page's notebook for Colab, and the button that leads to it."""

import re
import tomllib

import nbformat
import pytest
import yaml
from gatebook_book.paths import root
from gatebook_book.site.colab import BRANCH, FIRST, FOLDER, for_colab
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.testing.util import SphinxTestApp

URL = "https://github.com/a/b"
CONF = f"""
extensions = ["myst_parser", "sphinx_book_theme", "gatebook_book.site.colab"]
html_theme = "sphinx_book_theme"
html_theme_options = {{"repository_url": "{URL}"}}
"""
FETCH = """# Once, before all else: the library, and the checkout with the stored runs.
!git clone --quiet --depth 1 https://github.com/a/b
%pip install --quiet "./b[book]"
%cd b"""


def executed() -> nbformat.NotebookNode:
    """A notebook as the builder leaves it."""
    output = new_output("stream", text="1\n")
    code = new_code_cell("print(1)", outputs=[output], execution_count=3)
    code.metadata["tags"] = ["hide-input"]
    made = new_notebook(cells=[new_markdown_cell("# Title"), code])
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A site of two pages, of which one was executed."""
    source = tmp_path_factory.mktemp("site")
    (source / "conf.py").write_text(CONF)
    (source / "index.md").write_text("# A page\n\nText.\n")
    (source / "plain.md").write_text("---\norphan: true\n---\n# Plain\n\nText.\n")
    app = SphinxTestApp(srcdir=source)
    notebooks = app.outdir.parent / "notebooks"
    notebooks.mkdir(parents=True)
    nbformat.write(executed(), notebooks / "index.ipynb")
    app.build()
    yield app.outdir
    app.cleanup()


def test_the_first_cell_installs_and_the_others_have_no_outputs():
    whole = executed()
    made = for_colab(whole, URL)
    nbformat.validate(made)
    assert [cell.source for cell in made.cells] == [FETCH, "# Title", "print(1)"]
    assert made.cells[2].outputs == [] and made.cells[2].execution_count is None
    assert "widgets" not in made.metadata
    assert made.metadata.kernelspec.name == "python3"
    assert whole.cells[1].outputs and whole.cells[1].metadata.tags == ["hide-input"]


def test_an_executed_page_has_a_button_to_the_notebook_that_was_written(built):
    page = (built / "index.html").read_text()
    (link,) = re.findall(r'<a href="(https://colab[^"]*)"', page)
    start = f"https://colab.research.google.com/github/a/b/blob/{BRANCH}/"
    assert link.startswith(start)
    file = built.parent / FOLDER / link.removeprefix(start)
    assert nbformat.read(file, as_version=4).cells[0].source == FETCH
    assert "colab" not in (built / "plain.html").read_text()


def test_what_the_first_cell_fetches_is_this_project():
    project = tomllib.loads((root() / "pyproject.toml").read_text())["project"]
    config = yaml.safe_load((root() / "_config.yml").read_text())
    assert config["repository"]["url"] == project["urls"]["Repository"]
    assert "gatebook_book.site.colab" in config["sphinx"]["config"]["extensions"]
    (extra,) = re.findall(r"\[(\w+)\]", FIRST)
    assert extra in project["optional-dependencies"]


def test_the_workflow_puts_the_notebooks_on_their_branch():
    text = (root() / ".github/workflows/pages.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    steps = jobs["build"]["steps"]
    (kept,) = [s["with"] for s in steps if "/upload-artifact@" in s.get("uses", "")]
    assert kept["path"] == f"_build/{FOLDER}"
    job = jobs["notebooks"]
    assert job["if"] == "github.ref == 'refs/heads/main'"
    assert job["permissions"] == {"contents": "write"}
    (taken,) = [s["with"] for s in job["steps"] if "uses" in s]
    assert taken["name"] == kept["name"]
    (push,) = [s["run"] for s in job["steps"] if "run" in s]
    assert f"--initial-branch={BRANCH}" in push and f" {BRANCH}\n" in push
