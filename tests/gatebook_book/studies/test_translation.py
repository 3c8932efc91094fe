"""Translation points: weights that pages share, what is stored, the dictionary."""

import pytest
import torch
from gatebook_book.runs.store import Store
from gatebook_book.studies import trained as trained_module
from gatebook_book.studies import translation
from gatebook_book.studies.dictionary import dictionary, word_by_word
from gatebook_book.studies.translation import point, train_translations, trained

from tests.gatebook.translate.texts import bitext, corpus


def a_point(**more):
    given = {"updates": 3, "tokens": 100, "width": 4, "hidden_size": 4} | more
    return point("G2", 1, corpus(), **given)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(trained_module, "_MADE", {})


def test_two_pages_share_one_training(tmp_path, monkeypatch):
    pages = [Store(page, "smoke", tmp_path) for page in ("language/a", "inside/b")]
    (run,) = train_translations(pages[0], [a_point()])
    model, history = trained(pages[0], a_point())
    trained_module._MADE.clear()

    def fit(*args, **more):
        raise AssertionError("trained again")

    monkeypatch.setattr(translation, "fit", fit)

    def own(model, point, history):
        return {"metrics": {"mark": model.embedding.weight.sum().item()}}

    (other,) = train_translations(pages[1], [a_point()], measure=own)
    assert other["metrics"]["mark"] == model.embedding.weight.sum().item()
    assert other["curves"] == run["curves"]
    assert run["status"] == "finished" and len(run["said"]) == 9
    assert {"tokenised", "bleu", "chrf", "greedy_bleu", "loss"} <= set(run["metrics"])
    again, _ = trained(pages[1], a_point())
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


def test_what_decides_numbers_decides_the_run():
    points = [
        a_point(),
        a_point(updates=4),
        a_point(bridge=False),
        a_point(variant="paper"),
        point("UR", 1, corpus(), updates=3),
    ]
    kept = [sorted(map(str, p.parameters().items())) for p in points]
    assert len({tuple(k) for k in kept}) == 5
    assert points[0].parameters()["corpus"] == "numbers"
    assert points[3].recipe.optimizer == "AdaDelta"


def test_settings_of_the_measure_are_kept(tmp_path):
    store = Store("language/a", "smoke", tmp_path)
    for count in (2, 3):
        (run,) = train_translations(
            store,
            [a_point()],
            measure=lambda *given, n=count: translation.figures(*given, count=n),
            settings={"judged": count},
        )
        assert len(run["said"]) == run["parameters"]["judged"] == count


def test_a_run_that_diverged_has_no_translations(tmp_path):
    history = translation.History(diverged_at=2)
    found = translation.figures(a_point().build(), a_point(), history)
    assert found["said"] == [] and found["metrics"]["tokenised"] != 0


def test_the_dictionary_finds_the_words():
    train, test = bitext().parts["train"], bitext().parts["test"]
    table = dictionary(*train)
    assert table == {w: w.upper() for line in train.source for w in line.split()}
    assert word_by_word(table, test.source) == list(test.target)
    assert word_by_word(table, ["one new"]) == ["ONE new"]


def test_a_round_of_model_1_by_hand():
    """Brown et al.'s rule on two pairs: shares by t, then counts."""
    source, target = ["a b", "a"], ["x y", "x"]
    # Round 1: in the first pair each of x, y is shared evenly among a, b; a gets x
    # from the second pair as a whole. So t(x|a) = 1.5 / 2, t(x|b) = t(y|b) = 1/2.
    # Round 2: y goes to b with 0.5 / (0.25 + 0.5) = 2/3, x with 0.5 / 1.25 = 0.4.
    assert dictionary(source, target, rounds=2) == {"a": "x", "b": "y"}
    with pytest.raises(ValueError, match="rounds is 0"):
        dictionary(source, target, rounds=0)
