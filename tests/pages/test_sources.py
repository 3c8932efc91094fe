"""The pages' sources: what a reader of the repository can rely on."""

import ast
import re
import tomllib

import pytest
import yaml
from gatebook_book.pages.pages import (
    ANY,
    PROFILES,
    RULES,
    find,
    page_names,
    read_profile,
)
from gatebook_book.paths import root
from gatebook_book.runs import ledger
from markdown_it import MarkdownIt
from sphinx.pycode import ModuleAnalyzer

PAGES = page_names()
WITH_CODE = [name for name in PAGES if find(name).has_code]
NO_LESSONS = ("index", "ledger", "playground", "reference/gallery")  # no proofs
LESSONS = [name for name in WITH_CODE if name not in NO_LESSONS]
EXPERIMENTS = [
    name
    for name in WITH_CODE
    if name.startswith(("memory/", "pixels/")) or name.endswith("/experiments")
]
ANSWERED = [
    *EXPERIMENTS,
    *(name for name in WITH_CODE if name.startswith(("language/", "compression/"))),
    "theory/detach",
    "inside/gates",
]
SHOWN = re.compile(r"^```\{literalinclude\} (\S+)\n((?::.+\n)+)", re.MULTILINE)
THEORY = [name for name in PAGES if name.startswith("theory/") and "grid" not in name]
SIDES = r"(?<!Figure \d\s)\((?:left|right)\)|\b(?:Left|Right)[:,]|(?:left|right) panel"
"""What a caption says of panels that a phone shows one below the other."""
ONE_FORM = {"fig-cores-update"}
CELL = r"```\{code-cell\} ipython3\n---\n(mystnb:.*?)\n---\n(.*?)```"
FIGURE = re.compile(CELL, re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_one_title_a_page(name):
    text = re.sub(r"```.*?```", "", find(name).file.read_text(), flags=re.DOTALL)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("name", PAGES)
def test_no_number_in_a_sentence_begins_a_line_as_if_in_a_list(name):
    """A line such as "1. This has" makes a list of the sentence that it ends."""
    text = find(name).file.read_text()
    before = re.findall(r"^(\S.*)\n1\. ", text, re.MULTILINE)
    assert all(line.startswith((":", "```")) for line in before)


@pytest.mark.parametrize("name", PAGES)
def test_no_fence_too_many_makes_text_of_what_follows(name):
    """A fence that closes nothing opens a block, up to the next one."""
    tokens = MarkdownIt().parse(find(name).file.read_text())
    fences = [token for token in tokens if token.type == "fence"]
    plain = [fence.content for fence in fences if not fence.info.startswith("{")]
    assert not any("```{" in content for content in plain)


CITED = ("beyond-papers", "errata")
"""Pages whose sections others cite by their address."""


@pytest.mark.parametrize("name", CITED)
def test_each_section_that_may_be_cited_has_an_address_of_its_own(name):
    text = find(name).file.read_text()
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = [re.sub(r"[^a-z0-9]+", "-", head.lower()) for head in heads]
    assert len(heads) > 10 and len(slugs) == len(set(slugs))


@pytest.mark.parametrize("name", ("index", *CITED))
def test_a_page_is_cited_at_this_version(name):
    project = tomllib.loads((root() / "pyproject.toml").read_text())["project"]
    text = find(name).file.read_text()
    assert set(re.findall(r"\bversion\W+(\d+\.\d+\.\d+)", text)) == {project["version"]}
    assert set(re.findall(r"gatebook (\d+\.\d+\.\d+)", text)) <= {project["version"]}


def test_each_own_result_says_where_its_proof_or_its_runs_are():
    text = find("beyond-papers").file.read_text()
    for kind, place in (("proved", r"\{prf:ref\}"), ("measured", r"\{(ref|doc)\}")):
        part = text.split(f"({kind}-here)=")[1].split("-here)=")[0]
        own = part.split("\n### ")[1:]
        assert len(own) > 5
        for section in own:
            last = section.rpartition(f"\n*{kind.capitalize()}")[2]
            assert re.search(place, last), section


def test_no_executed_notebook_is_kept():
    assert not list((root() / "book").rglob("*.ipynb"))


@pytest.mark.parametrize("name", LESSONS)
def test_a_page_follows_the_pattern(name):
    text = find(name).file.read_text()
    assert text.index("{admonition} In one sentence") < text.index("**What you will")
    assert "{prf:pro" in text, "no proposition"
    assert "assert " in text, "no executed check"
    exercises = re.findall(r"\{exercise\}[^\n]*\n:label: (\S+)", text)
    assert exercises
    for label in exercises:
        assert f"{{solution}} {label}\n:class: dropdown" in text


@pytest.mark.parametrize("name", WITH_CODE)
def test_every_parameter_has_a_type_and_a_word_of_help(name):
    parameters = find(name).parameters().values()
    assert parameters
    for parameter in parameters:
        assert parameter.help, parameter.name
        assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize("name", WITH_CODE)
def test_every_number_has_one_rule_for_its_range_or_is_free(name):
    for parameter in find(name).parameters().values():
        if parameter.kind.removeprefix("list[").rstrip("]") in ("int", "float"):
            rules = [rule for rule in RULES if re.fullmatch(rule, parameter.name)]
            free = parameter.name in ANY
            assert len(rules) + free == 1, parameter.name


@pytest.mark.parametrize("name", LESSONS)
def test_every_figure_has_name_caption_and_description(name):
    found = FIGURE.findall(find(name).file.read_text())
    assert found
    for header, code in found:
        options = yaml.safe_load(header)["mystnb"]
        if "figure" not in options:
            continue
        assert options["figure"]["name"].startswith("fig-")
        assert len(options["figure"]["caption"]) > 20
        if "image" in options and options["figure"]["name"] not in ONE_FORM:
            assert not re.findall(SIDES, options["figure"]["caption"])
        if "gatebook_book.widgets" in code:  # a widget describes itself
            continue
        assert len(options["image"]["alt"]) > 20
        assert "dark-light" in options["image"]["classes"].split()


def assigned(code):
    """Names that a cell's statements, not its functions, give a value."""
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        inner = [n for n in ast.walk(statement) if isinstance(n, ast.comprehension)]
        own = {id(n) for part in inner for n in ast.walk(part.target)}
        names = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
        stored = [n for n in names if isinstance(n.ctx, ast.Store)]
        yield from (n.id for n in stored if id(n) not in own)


@pytest.mark.parametrize("name", WITH_CODE)
def test_no_figure_has_the_value_of_its_last_line_above_it(name):
    """What ``ax.set_xlabel("step")`` gives is shown, unless a semicolon follows."""
    text = find(name).file.read_text()
    assert not re.findall(r"^\S.*\.set(?:_\w+)?\(.*\)\n```$", text, re.MULTILINE)


@pytest.mark.parametrize("name", WITH_CODE)
def test_no_cell_changes_a_parameter(name):
    # A run that comes later on the page would have another value than was asked for.
    cells = [c for c in find(name).notebook().cells if c.cell_type == "code"]
    parameters = set(find(name).parameters())
    for cell in cells:
        if "parameters" not in cell.metadata.get("tags", []):
            assert not parameters & set(assigned(cell.source))


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_name_known_pages_and_parameters(profile):
    for name in read_profile(profile):
        find(name).effective(profile, {})


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_names_a_page_once(profile):
    # YAML itself takes the last entry and says nothing.
    text = (root() / f"book/profiles/{profile}.yaml").read_text()
    named = re.findall(r"^(\S+):", text, re.MULTILINE)
    assert sorted(named) == sorted(set(named))


def test_the_book_profile_is_what_the_pages_show():
    assert not any(read_profile("book").values())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_kept_profiles_have_three_seeds(name):
    for profile in ("laptop", "own", "paper"):
        if profile == "own" and name not in read_profile(profile):
            continue
        assert len(find(name).effective(profile, {})["seeds"]) >= 3


@pytest.mark.parametrize("name", ledger.pages())
def test_every_rule_can_be_worked_out(name):
    for entry in ledger.entries(name):
        words = (*ledger.RULES, "undecided", *ledger.SMALL.values(), "no run")
        assert entry.verdict in words
        assert (entry.runs > 0) or entry.verdict == "no run"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_claims_and_shows_their_verdicts(name):
    assert name in ledger.pages()
    shown = re.search(rf'claims\.of_page\(\s*"{name}"', find(name).file.read_text())
    assert shown


@pytest.mark.parametrize("name", ANSWERED)
def test_an_experiment_begins_with_the_answer_and_ends_with_its_own_run(name):
    text = find(name).file.read_text()
    top = text[: text.index("\n## ")]
    assert "name: fig-" in top, "no figure at the top"
    assert re.search(r"claims\.(tally|chips)\(", top), "no verdicts at the top"
    heads = ("Summary", "The run of this build", "Exercises")
    places = [text.index(f"\n## {head}") for head in heads]
    assert places == sorted(places)


def shown(name):
    """Files, objects and captions of the library's lines that a page shows."""
    page = find(name).file
    for path, options in SHOWN.findall(page.read_text()):
        given = dict(re.findall(r"^:([\w-]+): ?(.*)$", options, re.MULTILINE))
        yield (page.parent / path).resolve(), given["pyobject"], given["caption"]


@pytest.mark.parametrize("name", PAGES)
def test_the_library_has_the_lines_that_a_page_shows(name):
    # A renamed object would leave an empty box.
    for path, wanted, caption in shown(name):
        found = ModuleAnalyzer.for_file(str(path), path.stem).find_tags()
        assert wanted in found, f"{path.name} has no {wanted}"
        assert caption == f"{wanted}, {path.relative_to(root() / 'src/lib')}"


@pytest.mark.parametrize("name", THEORY)
def test_a_theory_page_shows_lines_of_the_library(name):
    assert list(shown(name))
