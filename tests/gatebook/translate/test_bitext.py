"""Pairs of lines, their pieces, their batches: what is kept, counted and refused."""

import subprocess
import sys

import pytest
import torch
from gatebook.errors import DataError
from gatebook.translate.artefact import Released
from gatebook.translate.batches import batch_of, in_order, shuffled
from gatebook.translate.bitext import from_files, made
from gatebook.translate.corpus import encoded, learned
from gatebook.translate.scores import chrf, tokenised_bleu
from gatebook.translate.subwords import Subwords
from gatebook.translate.words import joined, moses, moses_german

from tests.gatebook.translate.texts import bitext, corpus


def written(folder, **parts):
    """Files of each part; returns what `from_files` wants."""
    files = {}
    for split, sides in parts.items():
        files[split] = tuple(folder / f"{split}.{k}" for k in range(2))
        for file, text in zip(files[split], sides, strict=True):
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return files


def test_one_string_is_no_lines(unchecked):
    one = "allowed: a sequence of strings"
    with pytest.raises(TypeError, match=f"train, target is 'A b'; {one}"):
        made("pairs", {"train": (["a b"], "A b")})
    with pytest.raises(TypeError, match=f"lines is 'a b'; {one}"):
        Subwords.learn("a b", 2)
    for function in (chrf, tokenised_bleu):
        with pytest.raises(TypeError, match=f"references is 'a'; {one}"):
            function(["a"], "a")
    with pytest.raises(TypeError, match=f"lines is 'a man'; {one}"):
        Released(None, None, ("blanks", "blanks"), 9).translate("a man")


def test_an_unknown_cut_is_named():
    with pytest.raises(ValueError, match="unknown cuts 'mos'; did you mean 'moses'"):
        made("pairs", {"train": (["a"], ["A"])}, cuts=("mos", "blanks"))


def test_a_part_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="unknown part 'tset'; did you mean 'test'"):
        corpus().lines("tset")
    with pytest.raises(ValueError, match="count is -1; allowed: an integer >= 0"):
        corpus().lines("test", -1)


GOOD = ("a b\nc\n", "A B\nC\n")


def test_files_become_pairs_and_empty_sides_are_counted(tmp_path):
    train = ("a b\n\nc  d\n", "A B\nX\nC D\n")
    found = from_files("own", written(tmp_path, train=train, valid=GOOD, test=GOOD))
    assert found.parts["train"] == (("a b", "c d"), ("A B", "C D"))
    assert found.skipped == {"train, empty": 1}


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (("a\nb\n", "A\n"), "train of 'own' has 2 source lines and 1 target lines"),
        ((b"\xff\xfe", "A\n"), "train, source names .* not UTF-8 at byte 0"),
        (("\n", "A\n"), "train, source names .* no words"),
        (("a\n\n", "\nA\n"), "no pairs in its part 'train'; left out were .*2"),
    ],
)
def test_bad_files_are_refused(train, message, tmp_path):
    files = written(tmp_path, train=train, valid=GOOD, test=GOOD)
    with pytest.raises(DataError, match=message):
        from_files("own", files)


def test_a_missing_file_is_named(tmp_path):
    files = written(tmp_path, train=GOOD, valid=GOOD, test=GOOD)
    files["test"][1].unlink()
    with pytest.raises(DataError, match=r"test, target names .*test\.1"):
        from_files("own", files)


def test_long_pairs_are_left_out_and_counted():
    short = bitext().limited(3)
    assert max(len(x.split()) for x in short.parts["train"].source) == 3
    out = short.skipped["train, more than 3 words"]
    assert out == 60 - len(short.parts["train"].source) > 0
    with pytest.raises(ValueError, match="longest is 0"):
        bitext().limited(0)


def test_the_limit_on_pieces_is_for_training_only():
    letters = Subwords.learn([*bitext().parts["train"].source], merges=1)
    some = encoded(bitext(), letters, longest=20)
    assert max(map(len, some.train.source)) <= 21  # and an eos
    assert len(some.test.source) == 9
    assert some.skipped["train, more than 20 pieces"] == 60 - len(some.train.source)
    assert some.lines("train", 2).source[1] == letters.decode(some.train.source[1])
    with pytest.raises(DataError, match="longest is 1, and no training pair"):
        encoded(bitext(), letters, longest=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two men, one ball.", "two men , one ball ."),
        ("It costs 1,000.50 dollars", "it costs 1,000.50 dollars"),
        ("The man’s well-known “act”!", 'the man \'s well-known " act " !'),
        ("The U.S. team (left)", "the u.s. team ( left )"),
    ],
)
def test_lines_are_cut_as_moses_does(text, words):
    assert moses(text) == words.split()


def test_german_cuts_an_apostrophe_off():
    assert moses_german("Wie geht's?") == ["wie", "geht", "'", "s", "?"]


def test_words_are_joined_for_people():
    assert joined("the man 's dog , asleep .") == "The man's dog, asleep."
    assert joined("five o 'clock ( the dogs ' )") == "Five o'clock (the dogs ')"


@pytest.mark.parametrize(
    "text",
    [
        "He said 'yes'.",
        "He said 'don't go', then left.",
        "The man's dogs' tails.",
        "The 'rock 'n' roll' band's \"act\"!",
        "It's \"the dog's\" (left), isn't it?",
    ],
)
def test_cut_and_joined_a_line_is_itself(text):
    assert joined(" ".join(moses(text))) == text


def test_quotes_that_stand_apart_go_in_pairs():
    assert joined("he said ' yes , sir ' .") == "He said 'yes, sir'."
    line = " ".join(moses_german("Wie geht's, 'Hans'?"))
    assert joined(line) == "Wie geht's, 'hans'?"


# -- pieces ----------------------------------------------------------------------


def test_lines_survive_their_pieces():
    pieces = Subwords.learn(["the hats of the old hatter", "der hut"], merges=12)
    for line in ("the hats of the hatter", "hut"):
        ids = pieces.encode(line)
        assert pieces.decode(ids) == line
        assert pieces.decode([*ids, 0, 5]) == line  # nothing after an end
        words = pieces.words([*ids, 0])
        assert [k for word in words for k in word] == list(range(len(ids)))
        texts = ["".join(pieces.tokens[ids[k]] for k in word) for word in words]
        assert [text[:-1] for text in texts] == line.split()


@pytest.mark.parametrize("line", ["the <eos> land", "a<eos>b x<eos>x", "<unk>x <unk>"])
def test_text_never_becomes_a_special_piece(line):
    pieces = Subwords.learn(["the land x<eos>x", "a<eos>b <unk>x <unk>"] * 3, 40)
    ids = pieces.encode(line)
    assert not {0, 1} & set(ids)
    assert pieces.decode(ids) == line


def test_unknown_letters_and_the_mark_itself_do_no_harm():
    pieces = Subwords.learn(["ab ba"], merges=3)
    assert pieces.decode(pieces.encode("axb")) == "a<unk>b"
    assert pieces.decode(pieces.encode("a▁b")) == "a<unk>b"


def test_enough_merges_make_every_word_a_piece():
    pieces = learned(bitext(), merges=10_000)
    assert len(pieces.encode("seven one TWO".removeprefix("seven "))) == 2


def test_pieces_are_the_same_in_another_process():
    """The package numbers equal pairs by hashes that differ between processes."""
    code = (
        "from gatebook.translate.subwords import Subwords;"
        "print(Subwords.learn(['ab cd ef gh', 'hg fe dc ba'] * 3, merges=9).sum)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    here = Subwords.learn(["ab cd ef gh", "hg fe dc ba"] * 3, merges=9)
    assert out.stdout.decode().strip() == here.sum
    assert Subwords(here.json).sum == here.sum


def test_what_is_no_table_of_pieces_is_refused():
    with pytest.raises(ValueError, match="no table of pieces"):
        Subwords("{}")
    with pytest.raises(ValueError, match="merges is 0"):
        Subwords.learn(["a"], merges=0)


# -- batches ---------------------------------------------------------------------


def test_every_pair_comes_once_an_epoch_and_batches_keep_their_limit():
    pairs = corpus().train
    cut = shuffled(pairs, 40, None, seed=0, epoch=0)
    assert sorted(k for rows in cut for k in rows) == list(range(60))
    for rows in cut:
        batch = batch_of(pairs, rows)
        assert max(batch.source.numel(), batch.target.numel()) <= 40
    assert all(len(rows) <= 3 for rows in shuffled(pairs, 40, 3, 0, 0))


def test_epochs_differ_and_seeds_decide_them():
    pairs = corpus().train
    first, same, next, other = (
        shuffled(pairs, 40, None, *which) for which in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert first == same != next
    assert first != other
    assert len(first) == len(next)  # on which resuming rests


def test_a_pair_longer_than_a_batch_is_a_batch_alone():
    assert {len(rows) for rows in shuffled(corpus().train, 1, None, 0, 0)} == {1}
    with pytest.raises(ValueError, match="tokens is 0"):
        shuffled(corpus().train, 0, None, 0, 0)


def test_filling_is_known():
    pairs = corpus().train
    rows = [k for k in range(60) if len(pairs.target[k]) in (2, 5)][:6]
    batch = batch_of(pairs, rows)
    for column, k in enumerate(rows):
        inside = batch.real[:, column]
        assert batch.target[inside, column].tolist() == pairs.target[k]
        assert (
            batch.source[batch.real_source[:, column], column].tolist()
            == (pairs.source[k])
        )
    assert not batch.real.all()
    assert sorted(k for b in in_order(pairs, 30) for k in b.rows) == list(range(60))
    assert torch.equal(batch.to(torch.device("cpu")).target, batch.target)
