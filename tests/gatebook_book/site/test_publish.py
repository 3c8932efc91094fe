"""What stops a site from being published, and the workflow that asks."""

import json
import re
import subprocess
import tomllib

import pytest
import yaml
from gatebook_book.pages.execute import PageError
from gatebook_book.paths import root
from gatebook_book.site import publish
from gatebook_book.site.publish import broken_links, check, foreign_files


@pytest.fixture
def site(tmp_path):
    """A site of two pages, a style sheet and a theme's template."""
    files = {
        "index.html": '<a href="book/one.html#here">x</a><a href="https://x.org/y">y</a>',
        "book/one.html": '<h1 id="here">a</h1><a href="#here"></a><a href="../">up</a>'
        '<link href="../_static/a%20b.css?digest=1">',
        "_static/a b.css": "",
        "_static/template.html": '<a href="{{ pathto(1) }}">',
    }
    for name, text in files.items():
        file = tmp_path / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "site"


def test_a_site_whose_links_all_lead_somewhere(site):
    assert broken_links(site) == []


@pytest.mark.parametrize(
    "link", ["two.html", "one.html#there", "#there", "../../secret", "../_static/b.css"]
)
def test_a_link_that_leads_nowhere_is_named_with_its_page(site, link):
    (site.parent / "secret").write_text("")
    page = site / "book/one.html"
    page.write_text(page.read_text() + f'<a href="{link}">z</a>')
    assert broken_links(site) == [f"book/one.html: {link}"]


FOREIGN = [
    '<script src="https://x.org/a.js"></script>',
    '<link rel="shortcut icon" href="//x.org/a.ico">',
    '<img src="file:///home/me/a.png">',
    '<img srcset="../index.html 1x, https://x.org/a.png 2x">',
    '<video poster="http://x.org/a.png"></video>',
    '<object data="https://x.org/a.svg"></object>',
    """<p style="background: url('https://x.org/a.png')">""",
    "<style>@import 'https://x.org/a.css';</style>",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_what_a_page_loads_from_elsewhere_is_named(site, text):
    page = site / "book/one.html"
    page.write_text(page.read_text() + text)
    (line,) = foreign_files(site)
    assert re.match(r"book/one\.html: (https?:|file:)?//", line)


def test_a_style_sheet_that_loads_from_elsewhere_is_named(site):
    sheet = site / "_static/a b.css"
    sheet.write_text("a { background: url(//x.org/a.woff) } /* https://x.org */")
    assert foreign_files(site) == ["_static/a b.css: //x.org/a.woff"]


def test_links_to_follow_and_data_in_the_page_are_not_from_elsewhere(site):
    sheet = site / "_static/a b.css"
    sheet.write_text('a { background: url("data:image/svg+xml,%3csvg http://x.org") }')
    page = site / "book/one.html"
    page.write_text('<link rel="canonical" href="https://x.org"><img src="data:,">')
    assert foreign_files(site) == []


@pytest.fixture
def checked(site, book, monkeypatch):
    """The check, of a book that is built in no time and a lock that holds or not."""
    codes = [0]
    monkeypatch.setattr(publish, "build", lambda profile: site / "index.html")
    done = subprocess.CompletedProcess
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: done([], codes[0]))
    return codes


def test_a_whole_site_passes(checked, site):
    assert check() == site


def test_a_lock_that_is_not_what_is_installed_stops(checked):
    checked[0] = 1
    with pytest.raises(PageError, match="lock is out of date"):
        check()


def test_a_broken_link_stops(checked, site):
    (site / "index.html").write_text('<img src="gone.png">')
    with pytest.raises(PageError, match="(?s)1 links.*index.html: gone.png"):
        check()


def test_a_file_from_elsewhere_stops(checked, site):
    (site / "index.html").write_text('<img src="https://x.org/a.png">')
    with pytest.raises(PageError, match="(?s)1 files.*index.html: https://x.org/a.png"):
        check()


def test_the_smoke_profile_is_not_published(checked):
    with pytest.raises(ValueError, match="unknown profile 'smoke'.*'own', 'paper'"):
        check("smoke")


def test_a_run_of_edited_code_is_named(checked, book, capsys):
    run = {"page": "first", "name": "UR", "seed": 0, "status": "finished"}
    for commit in ("1a", "1b+"):
        file = book / f"data/results/first/laptop/{commit[:2]}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        own = {"parameters": {}, "metrics": {}, "commit": commit}
        file.write_text(json.dumps(run | own))
    check()
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "warning: data/results/first/laptop/1b.json was made by edited code"
    ]


WORKFLOWS = sorted(p.stem for p in (root() / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_run_what_exists_here(name):
    text = (root() / f".github/workflows/{name}.yml").read_text()
    workflow = yaml.safe_load(text)
    commands = " ".join(
        step.get("run", "")
        for job in workflow["jobs"].values()
        for step in job.get("steps", [])
    )
    targets = re.findall(r"^([a-z-]+):", (root() / "Makefile").read_text(), re.M)
    assert set(re.findall(r"make ([a-z-]+)", commands)) <= set(targets)
    for file in re.findall(r"(?:\.ci|tools)/[\w.]+", commands):
        assert (root() / file).is_file()
    assert workflow["permissions"] == {"contents": "read"}
    # A tag can be moved to other code; a commit cannot.
    for line in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v[\d.]+", line)


def test_tests_run_on_every_push_and_only_main_is_published():
    folder = root() / ".github/workflows"
    tests = yaml.safe_load((folder / "tests.yml").read_text())
    assert {"push", "pull_request"} <= tests[True].keys()  # YAML's "on" is true
    pages = yaml.safe_load((folder / "pages.yml").read_text())
    assert pages["jobs"]["deploy"]["if"] == "github.ref == 'refs/heads/main'"


def test_one_version_everywhere():
    project = tomllib.loads((root() / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((root() / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["date-released"]
    assert f"## {project['version']}" in (root() / "CHANGELOG.md").read_text()


def test_stored_runs_have_a_licence_and_the_reason():
    text = (root() / "data/results/LICENSE").read_text()
    assert "CC-BY-4.0" in text and "Why:" in text
    citation = yaml.safe_load((root() / "CITATION.cff").read_text())
    assert "CC BY 4.0" in citation["message"]
    assert "the commit that it names" in citation["message"]
