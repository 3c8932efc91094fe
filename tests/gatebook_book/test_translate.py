"""The command `gatebook translate`."""

import re
import sys

import pytest
from gatebook.translate.artefact import release
from gatebook.translate.model import Translator
from gatebook_book.__main__ import main

from tests.gatebook.translate.texts import corpus


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """The command on a text, with a released model; exit code and both outputs."""
    release(tmp_path / "model", Translator(corpus().subwords.size, 4, 4), corpus(), {})

    def called(text: bytes, *more: str, model="model"):
        (tmp_path / "text").write_bytes(text)
        words = [str(tmp_path / "text"), "--model", str(tmp_path / model), *more]
        monkeypatch.setattr(sys, "argv", ["gatebook", "translate", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return called


def test_a_file_is_translated_line_by_line(call, tmp_path):
    code, out, err = call(b"one two\n\nthree\n", "--beam", "2")
    assert code == 0 and out.count("\n") == 3 and err == ""
    assert out.split("\n")[1] == ""
    code, nothing, err = call(b"one qqq\n", "--output", str(tmp_path / "out"))
    assert code == 0 and nothing == ""
    assert (tmp_path / "out").read_text().endswith("\n")
    assert err == "3 letters are unknown to the model\n"
    _, _, err = call(b"one " * 70)
    assert "1 of 1 lines are longer than the 64 pieces" in err


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (b"\xff", [], "FILE names .* not UTF-8 at byte 0"),
        (b"", [], "FILE names .* no words"),
        (b"one\n", ["--beam", "0"], "beam is 0; allowed: an integer >= 1"),
    ],
)
def test_a_mistake_is_one_line(call, text, more, message):
    code, out, err = call(text, *more)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert re.search(message, err)


def test_a_folder_without_a_model_is_named(call):
    code, _, err = call(b"one\n", model="nowhere")
    assert code == 2 and "model.safetensors is missing" in err
