"""What a process learns from the one that started it."""

import os

import pytest
from gatebook_book.context import VARIABLE, Context, current, using
from gatebook_book.paths import root
from gatebook_book.runs.progress import show_progress


def test_without_a_runner_it_is_a_page_run_by_hand(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert current() == Context()
    assert (current().profile, current().results) == ("live", "_build/results")


def test_it_goes_through_one_variable_and_ends(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    outer = Context(str(tmp_path), "smoke", "a", "b", "c", "d", "é")
    with using(outer):
        before = dict(os.environ)
        assert current() == outer and root() == tmp_path.resolve()
        with using(Context()):
            assert current() == Context()
        assert dict(os.environ) == before
    assert VARIABLE not in os.environ


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"plofile": "smoke"}'])
def test_a_damaged_one_is_named(monkeypatch, text):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match=f"{VARIABLE} is .*; allowed"):
        current()


def test_progress_goes_to_the_runner_or_the_terminal(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    show_progress("to the terminal")
    assert capsys.readouterr().err == "to the terminal\n"
    with using(Context(progress=str(tmp_path / "file"))):
        show_progress("to the runner: é")
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "to the runner: é\n"
