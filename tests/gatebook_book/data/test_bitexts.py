"""Pairs of lines: the embedded verses, folders, the hub, and what is not right."""

import hashlib
from dataclasses import replace

import datasets
import pytest
from gatebook.errors import DataError
from gatebook_book.data import bitexts, sources
from gatebook_book.data.bitexts import bitext, corpus

LINES = {
    "train": (["Zwei Männer.", "", "Ein Hund, klein."], ["Two men.", "x", "A dog, s."]),
    "val": (["Ein Mann"], ["A man"]),
    "test_2016_flickr": (["Hunde", "Ein Hund"], ["Dogs", "A dog"]),
    "test_2017_flickr": (["Katzen"], ["Cats"]),
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    bitext.cache_clear()
    corpus.cache_clear()
    monkeypatch.delenv("GATEBOOK_DATA", raising=False)
    yield
    bitext.cache_clear()
    corpus.cache_clear()


def digest(sides):
    text = "".join(f"{line}\n" for side in sides for line in side)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A folder with LINES, and a registry that knows them."""
    entry = sources.registry()["multi30k"]
    for wanted in entry["splits"].values():
        sides = LINES[wanted["file"]]
        wanted |= {"pairs": len(sides[0]), "sha256": digest(sides)}
        for side, language in zip(sides, ("de", "en"), strict=True):
            file = tmp_path / "multi30k" / f"{wanted['file']}.{language}"
            file.parent.mkdir(exist_ok=True)
            file.write_text("".join(f"{line}\n" for line in side))
    monkeypatch.setattr(sources, "registry", lambda: {"multi30k": entry})
    monkeypatch.setenv("GATEBOOK_DATA", str(tmp_path))
    return tmp_path / "multi30k"


def test_a_folder_is_read_cut_and_counted(small):
    found = bitext("multi30k")
    assert found.parts["train"].source == ("zwei männer .", "ein hund , klein .")
    assert found.parts["test2017"].target == ("cats",)
    assert found.skipped == {"train, empty": 1}
    assert found.origin == "Multi30k, captions of photographs, local folder"
    assert bitext("multi30k") is found


def test_a_file_that_was_changed_is_refused(small):
    (small / "val.en").write_text("Another man\n")
    with pytest.raises(DataError, match="valid of multi30k .* has 1 pairs and SHA-256"):
        bitext("multi30k")


def test_a_file_that_is_missing_is_named(small):
    (small / "train.de").unlink()
    with pytest.raises(DataError, match=r"train names .*train\.de: No such file"):
        bitext("multi30k")


def test_the_hub_gives_the_same_pairs(small, monkeypatch):
    wanted = bitext("multi30k").parts
    names = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
    rows = {
        split: [
            dict(zip(("de", "en"), pair, strict=True))
            for pair in zip(*LINES[n], strict=True)
        ]
        for split, n in names.items()
    }
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **more: rows)
    bitext.cache_clear()
    assert bitext("multi30k", "hub").parts == {
        split: wanted[split] for split in ("train", "valid", "test")
    }
    nested = {
        split: [{"translation": row} for row in own] for split, own in rows.items()
    }
    monkeypatch.setattr(datasets, "load_dataset", lambda path, **more: nested)
    bitext.cache_clear()
    assert bitext("multi30k", "hub").parts["test"] == wanted["test"]


def test_without_a_source_the_error_says_what_is_left(offline):
    with pytest.raises(DataError, match="GATEBOOK_DATA is not set; .*elberfelder-asv"):
        bitext("multi30k")
    with pytest.raises(DataError, match="the hub does not answer; allowed"):
        bitext("wmt14")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="did you mean 'multi30k'"):
        bitext("multi30")
    with pytest.raises(ValueError, match="unknown source 'folder'"):
        bitext("elberfelder-asv", "folder")


def test_verses_stand_side_by_side_and_books_are_held_out(offline):
    """The whole embedded set, once: its sums are in the registry."""
    raw, _ = bitexts._verses("elberfelder-asv", sources.registry()["elberfelder-asv"])
    entry = sources.registry()["elberfelder-asv"]["splits"]
    for split, sides in raw.items():
        assert digest(sides) == entry[split]["sha256"]
    german, english = raw["test"]
    assert english[0].startswith(" And it came to pass after the death of Joshua")
    assert "Josua" in german[0]
    assert not any(mark in line for line in [*german, *english] for mark in "[]*„’")


def test_short_and_uneven_pairs_are_left_out_and_counted(small):
    found = bitexts._without(bitext("multi30k"), least=2, ratio=1.2)
    assert found.parts["train"].source == ("zwei männer .", "ein hund , klein .")
    assert found.skipped["test, a side under 2 words"] == 1
    assert found.skipped["test2017, a side under 2 words"] == 1


def test_a_pair_of_which_one_side_is_far_longer_is_left_out(small):
    found = bitext("multi30k")
    pairs = type(found.parts["test"])(("a b c", "a", "a b"), ("d", "d e", "d e f"))
    found = replace(found, parts={**found.parts, "test": pairs})
    cut = bitexts._without(found, least=1, ratio=1.5)
    assert cut.parts["test"].source == ("a b",)
    assert cut.skipped["test, one side over 1.5 times the other"] == 2


def test_a_data_file_that_was_altered_is_refused(tmp_path):
    file = tmp_path / "bible.db"
    file.write_bytes(b"x")
    with pytest.raises(DataError, match="has SHA-256 2d71.*; allowed: 00"):
        bitexts._check_file(str(file), "00")
    with pytest.raises(DataError, match="the package no-such is not installed"):
        bitexts._file_of("no-such", "file")
