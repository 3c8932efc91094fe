"""Made-up texts: each answer follows from its story, by hand."""

import re

import pytest
from gatebook_book.tasks.stories import PEOPLE, PLACES, notes, questions

SIZES = (60, 5, 40)


def answer(story):
    """Where the asked one is, read off statement by statement."""
    place, holder = {}, {}
    *lines, question = story.split(" . ")
    for line in lines:
        who, deed, what = line.split()
        (place if deed == "goes" else holder)[what if deed == "takes" else who] = (
            who if deed == "takes" else what
        )
    asked = question.split()[1]
    return place[holder.get(asked, asked)]


@pytest.mark.parametrize("facts", [1, 2])
def test_the_answer_follows_from_the_story(facts):
    text = questions(SIZES, facts=facts, statements=5).lines("test")
    asked = [re.search(r"where (\w+) \?$", story)[1] for story in text.source]
    assert all((one in PEOPLE) == (facts == 1) for one in asked)
    assert [answer(story) for story in text.source] == list(text.target)
    assert set(text.target) <= set(PLACES)


def test_a_summary_has_the_marked_sentences_in_their_order():
    text = notes(SIZES, statements=4, kept=2).lines("test")
    for report, summary in zip(*text, strict=True):
        marked = [x[5:] for x in report.split(" . ") if x.startswith("note ")]
        assert summary == " . ".join(marked)
        assert len(marked) == 2


def test_every_word_is_one_piece_and_equal_seeds_give_equal_texts():
    corpus = questions(SIZES)
    lines = corpus.lines("train").source
    ids = corpus.train.source
    assert all(len(x.split()) + 1 == len(y) for x, y in zip(lines, ids, strict=True))
    assert questions(SIZES).sum == corpus.sum != questions(SIZES, seed=1).sum


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (questions, {"facts": 3}),
        (questions, {"statements": 1}),
        (notes, {"kept": 6}),
        (notes, {"sizes": (0, 1, 1)}),
    ],
)
def test_wrong_sizes_are_refused(make, wrong):
    with pytest.raises(ValueError, match="allowed"):
        make(**{"sizes": SIZES} | wrong)
