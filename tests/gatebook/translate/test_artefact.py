"""Released translation models: the same output, a card, clear errors."""

from dataclasses import replace

import pytest
import torch
from gatebook.files import FileError
from gatebook.translate.artefact import CARD, MODEL, VARIANTS, read, release
from gatebook.translate.batches import batch_of
from gatebook.translate.corpus import encoded, learned
from gatebook.translate.model import Translator

from tests.gatebook.translate.texts import bitext, corpus

OPTIONS = {
    "other parts": {"bridge": False, "residual": False, "tied": False},
    "no query": {"query": False, "gate": "UR", "num_layers": 3},
    "paper": {"variant": "paper", "gate": "G2", "dropout": 0.3},
}


def a_model(variant="between", **options):
    return VARIANTS[variant](corpus().subwords.size, 6, 8, seed=4, **options)


@pytest.mark.parametrize("kind", OPTIONS)
def test_what_is_read_says_the_same(kind, tmp_path):
    model = a_model(**OPTIONS[kind]).eval()
    size = release(tmp_path, model, corpus(), {"BLEU": 12.345678})
    assert size == (tmp_path / MODEL).stat().st_size
    again = read(tmp_path, corpus())
    batch = batch_of(corpus().test, range(9))
    assert torch.equal(again.model.nll(batch), model.nll(batch))
    assert not again.model.training
    assert again.subwords.sum == corpus().subwords.sum
    assert "| BLEU | 12.346 |" in (tmp_path / CARD).read_text()


def test_lines_are_translated_and_what_is_odd_is_counted(tmp_path):
    release(tmp_path, a_model(), corpus(), {})
    model = read(tmp_path)._replace(longest=5)
    found = model.translate(["one two", "", "ONE", "one " * 6, "qqq"], beam=2)
    assert len(found.lines) == 5 and found.lines[1] == ""
    assert (found.long, found.unknown) == (1, 3)
    assert model.translate([]).lines == []


def test_the_card_says_where_the_pairs_come_from_if_that_is_known(tmp_path):
    for origin, says in (("", "60 pairs;"), ("Own lines.", "Own lines. 60 pairs;")):
        text = replace(corpus(), bitext=replace(bitext(), origin=origin))
        release(tmp_path, a_model(), text, {})
        assert f"\n\n{says}" in (tmp_path / CARD).read_text()


def test_a_shared_table_is_stored_once_and_stays_shared(tmp_path):
    sizes = [
        release(tmp_path, a_model(tied=tied), corpus(), {}) for tied in (True, False)
    ]
    apart = 2 * corpus().subwords.size * 6 * 4
    assert sizes[1] - sizes[0] == pytest.approx(apart, abs=400)  # and their names
    release(tmp_path, a_model(), corpus(), {})
    model = read(tmp_path).model
    assert model.head.weight is model.embedding.weight


def test_another_corpus_is_refused(tmp_path):
    release(tmp_path, a_model(), corpus(), {})
    other = encoded(bitext(), learned(bitext(), merges=5))
    with pytest.raises(ValueError, match="allowed: the pieces of"):
        read(tmp_path, other)
    with pytest.raises(ValueError, match="corpus is 'numbers' with"):
        release(tmp_path, Translator(5, 4, 4), corpus(), {})


def test_damaged_files_are_refused(tmp_path):
    with pytest.raises(FileError, match="is missing"):
        read(tmp_path)
    release(tmp_path, a_model(), corpus(), {})
    file = tmp_path / MODEL
    content = file.read_bytes()
    file.write_bytes(content[:-3])
    with pytest.raises(FileError, match="cannot be read"):
        read(tmp_path)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(FileError, match="altered"):
        read(tmp_path)


def test_the_weights_keep_their_precision(tmp_path):
    model = a_model().double()
    release(tmp_path, model, corpus(), {})
    again = read(tmp_path).model.state_dict()
    assert all(torch.equal(again[k], v) for k, v in model.state_dict().items())
