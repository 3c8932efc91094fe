"""The reference pages: all public names, links that lead somewhere, signatures."""

import importlib
import re
import subprocess
import sys

import pytest
from gatebook import GATES
from gatebook_book.paths import root

PUBLIC = (
    *("", ".gates", ".rnn", ".training", ".tasks", ".match", ".agents", ".compress"),
    *(".inside", ".modern"),
)
DIRECTIVE = re.compile(
    r"^\.\. auto(class|function|data|module):: ([\w.]+)(?:\(\))?\n((?:   :.*\n)*)", re.M
)
CONF = """
extensions = ["gatebook_book.site.reference"]
default_role = "py:obj"
add_module_names = False
"""


def documented():
    """Each name that a page of the reference documents, as a dotted path."""
    for page in sorted((root() / "book/reference").glob("*.md")):
        for kind, path, options in DIRECTIVE.findall(page.read_text()):
            yield path
            if kind == "module" and (found := re.search(r":members: (.+)", options)):
                yield from (f"{path}.{name}" for name in found[1].split(", "))


def the_object(path):
    """What a dotted path names; a function goes before a module of its name."""
    first, *names = path.split(".")
    found, so_far = importlib.import_module(first), first
    for name in names:
        so_far += f".{name}"
        if not hasattr(found, name):
            importlib.import_module(so_far)
        found = getattr(found, name)
    return found


def test_every_name_on_a_page_exists():
    paths = list(documented())
    assert len(paths) > 50
    for path in paths:
        the_object(path)


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_is_on_a_page(package):
    module = importlib.import_module(f"gatebook{package}")
    shown = [the_object(path) for path in documented()]
    missing = [
        name
        for name in module.__all__
        if not any(getattr(module, name) is one for one in shown)
    ]
    assert not missing


def test_the_gallery_shows_every_gate_that_has_a_name():
    text = (root() / "book/reference/gallery.md").read_text()
    assert re.findall(r"^## ([\w-]+): ", text, re.M) == list(GATES)
    assert re.findall(r'^draw\("(.+)"\)', text, re.M) == list(GATES)
    assert text.count("**When to use it:**") == text.count("**Start:**") == len(GATES)


def made(folder, body):
    """The exit code, the warnings and the page that Sphinx makes of a text."""
    (folder / "conf.py").write_text(CONF)
    (folder / "index.rst").write_text(body)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going"]
    done = subprocess.run([*command, folder, folder / "out"], capture_output=True)
    page = folder / "out/index.html"
    return done.returncode, done.stderr.decode(), page.read_text()


def test_signatures_are_as_written_and_short_names_are_links(tmp_path):
    code, warnings, page = made(
        tmp_path,
        "Page\n====\n\n"
        ".. autoclass:: gatebook.gates.Gate\n   :members: initial_biases\n\n"
        ".. autofunction:: gatebook.gates.cumax\n\n"
        "`Gate`, `gatebook.cumax`, `torch.nn.LSTM`, `copy.deepcopy`\n",
    )
    assert code == 0, warnings
    text = re.sub(r"<[^>]+>", "", page).replace("&quot;", '"')
    assert 'cumax(pre: Float[Tensor, "*B H"])' in text
    assert "auxiliary: Auxiliary = Plain()" in text
    assert re.search(
        r"generator: torch.Generator \| None = None\)\s*\S*\s*Blocks", text
    )
    assert 'href="#gatebook.gates.Gate"' in page
    assert 'href="#gatebook.gates.cumax"' in page
    assert "generated/torch.nn.LSTM.html" in page


def test_a_name_that_two_packages_have_is_the_own_ones(tmp_path):
    both = ("language", "translate")
    parts = [
        f".. automodule:: gatebook.{one}.recipe\n   :members: Recipe\n\n"
        f".. automodule:: gatebook.{one}.train\n   :members: fit\n\n"
        for one in both
    ]
    parts.append(".. autofunction:: gatebook.language.windows.draw_length\n")
    code, warnings, page = made(tmp_path, "Page\n====\n\n" + "".join(parts))
    assert code == 0, warnings
    for one in both:
        own = page.split(f'id="gatebook.{one}.train.fit"')[1].split("<dd>")[0]
        links = re.findall(r'href="#(gatebook\.\w+\.recipe\.Recipe)"', own)
        assert links == [f"gatebook.{one}.recipe.Recipe"]


def test_a_name_that_leads_nowhere_is_a_warning(tmp_path):
    code, warnings, _ = made(tmp_path, "Page\n====\n\n`NoSuchName` stands here.\n")
    assert code != 0
    assert "NoSuchName" in warnings
