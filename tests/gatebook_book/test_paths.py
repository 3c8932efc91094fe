"""The folder of the book is found from wherever somebody stands."""

import pytest
from gatebook_book import paths
from gatebook_book.paths import root


@pytest.fixture(autouse=True)
def unnamed(monkeypatch):
    monkeypatch.delenv("GATEBOOK_ROOT", raising=False)


@pytest.fixture
def checkout(tmp_path):
    """Another checkout, with a folder below that looks like one and is not."""
    (tmp_path / "book" / "memory").mkdir(parents=True)
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "book" / "_toc.yml").touch()
    return tmp_path.resolve()


def test_it_is_found_here():
    assert (root() / "_toc.yml").is_file()
    assert (root() / "src/lib/gatebook_book/paths.py").is_file()


def test_it_is_found_upwards_from_the_working_folder(checkout, monkeypatch):
    for below in (checkout, checkout / "book", checkout / "book" / "memory"):
        monkeypatch.chdir(below)
        assert root() == checkout


def test_it_is_found_from_the_library_when_working_elsewhere(monkeypatch, tmp_path):
    expected = root()
    monkeypatch.chdir(tmp_path)
    assert root() == expected


def test_the_variable_goes_before_all_else(checkout, monkeypatch, tmp_path):
    named = tmp_path / "named"
    named.mkdir()
    (named / "_toc.yml").touch()
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("GATEBOOK_ROOT", str(named))
    assert root() == named.resolve()
    monkeypatch.setenv("GATEBOOK_ROOT", "named")  # relative to the working folder
    assert root() == named.resolve() and root().is_absolute()
    monkeypatch.setenv("GATEBOOK_ROOT", "")
    assert root() == checkout
    monkeypatch.setenv("GATEBOOK_ROOT", str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match="GATEBOOK_ROOT is .*typo'; allowed"):
        root()


@pytest.mark.parametrize("left_out", ["book", "_toc.yml"])
def test_a_folder_that_lacks_either_is_not_a_checkout(left_out, monkeypatch, tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").touch()
    place = tmp_path / left_out
    place.rmdir() if place.is_dir() else place.unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "paths.py"))
    with pytest.raises(FileNotFoundError, match=r"_toc.yml and book/.*GATEBOOK_ROOT"):
        root()
