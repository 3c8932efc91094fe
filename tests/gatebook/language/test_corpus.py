"""Words as numbers, and one's own text."""

import re
from dataclasses import replace

import pytest
import torch
from gatebook.language.corpus import Corpus, from_files
from gatebook_book.data.corpora import corpus
from gatebook_book.data.images import DataError

from tests.gatebook.language.texts import small


@pytest.fixture(scope="module")
def kjv():
    return corpus("kjv")


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        file = tmp_path / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return write


def test_the_embedded_corpus_is_of_the_registrys_size(kjv):
    assert (kjv.name, kjv.vocabulary_size) == ("kjv", 7568)
    assert [len(kjv.train), len(kjv.valid), len(kjv.test)] == [745_993, 98_752, 101_787]
    assert kjv.words[kjv.eos] == "<eos>" and kjv.train[-1] == kjv.eos
    assert len(set(kjv.words)) == kjv.vocabulary_size == kjv.train.max() + 1
    assert kjv is corpus("kjv") and len(kjv.sum) == 16


def test_every_word_is_met_twice_in_training(kjv):
    counts = torch.bincount(kjv.train, minlength=kjv.vocabulary_size)
    assert counts.min() >= 2


def test_text_and_ids_are_inverse(kjv):
    ids = kjv.test[:5000]
    assert (kjv.encode(kjv.decode(ids)) == ids).all()
    assert kjv.decode(kjv.encode("In the Beginning, God’s\nzyx")) == (
        "in the beginning , god 's\n<unk>"
    )
    assert kjv.encode("").tolist() == []


def test_the_first_tokens_keep_the_vocabulary(kjv):
    small = kjv.first(1000)
    assert [len(small.train), len(small.valid), len(small.test)] == [1000, 100, 100]
    assert small.words is kjv.words and "first 1,000 tokens" in small.source
    assert small.sum != kjv.sum
    assert (small.valid == kjv.valid[:100]).all()


@pytest.mark.parametrize("n", [9, 745_994])
def test_more_or_less_than_there_is_is_refused(kjv, n):
    with pytest.raises(ValueError, match=f"n is {n}; allowed"):
        kjv.first(n)


def test_ones_own_text(write):
    made = from_files(
        write("a", "b a b\n\na c\n"), write("v", "a d\n"), write("t", "\ufeffb"), 2
    )
    # The most frequent first; of equally frequent ones those that came first.
    assert made.words == ("<eos>", "b", "a", "<unk>")
    assert made.train.tolist() == [1, 2, 1, 0, 2, 3, 0]
    assert made.valid.tolist() == [2, 3, 0] and made.test.tolist() == [1, 0]
    assert made.source == "text of a" and made.name == "text"
    assert made.articles is None


def test_without_valid_and_test_the_end_of_train_is_cut(write):
    made = from_files(write("a", "\n".join(f"w{k}" for k in range(20))))
    assert [len(made.train), len(made.valid), len(made.test)] == [32, 4, 4]
    unknown = made.words.index("<unk>")
    assert made.valid.tolist() == [unknown, 0, unknown, 0]
    given = from_files(write("b", "x\n" * 20), test=write("t", "x"))
    assert [len(given.train), len(given.valid), len(given.test)] == [36, 4, 2]


def test_the_last_tenth_is_for_testing_and_the_one_before_it_for_validation(write):
    lines = ["a", "b"] * 8 + ["a", "a", "b", "b"]
    made = from_files(write("a", "\n".join(lines)))
    found = [made.decode(ids).split() for ids in (made.train, made.valid, made.test)]
    assert found == [lines[:16], ["a", "a"], ["b", "b"]]


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_a_word_that_differs_makes_another_sum(part):
    text = small()
    ids = getattr(text, part).clone()
    ids[-1] = 1 - ids[-1].clamp(max=1)
    assert replace(text, **{part: ids}).sum != text.sum


WRONG = {
    "": "train names .*a, which has no words; allowed: text",
    " \n\n\t": "train names .*a, which has no words",
    b"good \xff": "train names .*a, which is not UTF-8 at byte 5; allowed",
    "a\nb <eos>": "whose line 2 has the word <eos>; allowed: none",
    "a\nb": "has 2 lines with words; allowed: 10 or more, or a file for valid and test",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_text_that_will_not_do_is_named(write, text):
    with pytest.raises(DataError, match=WRONG[text]):
        from_files(write("a", text))


def test_a_missing_file_and_a_folder_are_named(tmp_path, write):
    with pytest.raises(DataError, match=re.escape(f"train names {tmp_path}/no: No su")):
        from_files(tmp_path / "no")
    with pytest.raises(DataError, match="valid names .*: Is a directory"):
        from_files(write("a", "x\n"), tmp_path, tmp_path)


@pytest.mark.parametrize("least", [0, 3])
def test_words_must_be_left(write, least):
    with pytest.raises(ValueError, match=f"least is {least}; allowed"):
        from_files(write("a", "x y\n" * 2), write("v", "x"), write("t", "x"), least)


def test_an_unknown_word_needs_a_place(write):
    ids = torch.tensor([1, 0])
    made = Corpus("text", ids, ids, ids, ("<eos>", "a"), "by hand")
    assert made.encode("a\n").tolist() == [1, 0]
    with pytest.raises(ValueError, match="text has the word 'b'; allowed: the 2 words"):
        made.encode("a b")
