"""Training: what it learns, resuming to the bit, Ctrl-C, recipes, bad input."""

import dataclasses
import os
import signal

import pytest
import torch
from gatebook.translate import train
from gatebook.translate.batches import batch_of
from gatebook.translate.judge import judged
from gatebook.translate.model import Translator
from gatebook.translate.paper import PaperTranslator
from gatebook.translate.recipe import Recipe, paper_recipe
from gatebook.translate.train import fit, mean_loss

from tests.gatebook.translate.texts import corpus

RECIPE = Recipe(7, tokens=60, checks=2)


def a_model(seed=0, **options):
    options = {"gate": "G2", "dropout": 0.1, **options}
    return Translator(corpus().subwords.size, 8, 8, seed=seed, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_to_translate():
    model = Translator(corpus().subwords.size, 24, 24, dropout=0.0, seed=1)
    history = fit(model, corpus(), Recipe(100, tokens=200, learning_rate=0.01))
    assert history.status == "finished"
    losses = history.curves["loss"]
    assert losses[0] > 4 and losses[-1] < 1
    assert judged(model, corpus(), "train") > 90
    assert mean_loss(model, corpus().valid) == losses[-1]
    assert len(history.curves["decoder.1 effective_input ends"]) == len(losses) == 5


def test_the_loss_counts_each_word_once():
    model = a_model().eval()
    pairs = corpus().valid
    every = [model.nll(batch_of(pairs, [k])).detach() for k in range(8)]
    assert mean_loss(model, pairs) == pytest.approx(torch.cat(every).mean().item())


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_run_goes_on_with_the_same_numbers(stop, tmp_path, monkeypatch):
    whole = a_model()
    wanted = fit(whole, corpus(), RECIPE, seed=5)
    file = tmp_path / "part.safetensors"
    advance = train._Training.advance

    def stopping(run):
        if run.history.step == stop:
            run.store()
            raise Stopped
        advance(run)

    monkeypatch.setattr(train._Training, "advance", stopping)
    with pytest.raises(Stopped):
        fit(a_model(), corpus(), RECIPE, seed=5, checkpoint=file)
    monkeypatch.undo()
    model = a_model()
    found = fit(model, corpus(), RECIPE, seed=5, checkpoint=file)
    assert torch.equal(weights(model), weights(whole))
    assert found.curves["loss"] == wanted.curves["loss"]
    assert found.curves["train_loss"][1:] == wanted.curves["train_loss"][1:]


def test_ctrl_c_stores_a_whole_state(tmp_path, monkeypatch):
    file, advance = tmp_path / "part.safetensors", train._Training.advance

    def pressed(run):
        if run.history.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        advance(run)

    monkeypatch.setattr(train._Training, "advance", pressed)
    with pytest.raises(KeyboardInterrupt):
        fit(a_model(), corpus(), RECIPE, checkpoint=file)
    monkeypatch.undo()
    lines: list[str] = []
    fit(a_model(), corpus(), RECIPE, checkpoint=file, report=lines.append)
    assert len(lines) == 2 and lines[-1].startswith("step 7/7")  # not step 0 again


def test_a_loss_that_is_not_finite_ends_the_run():
    model = a_model()
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    history = fit(model, corpus(), RECIPE)
    assert history.status == "diverged" and history.step == 1


def test_papers_recipe_is_adadelta_on_sums_over_sentences():
    """One update by hand: the sum over words, the mean over sentences, clipped."""
    recipe = dataclasses.replace(paper_recipe(1), sentences=4, clip=1.0)
    ours, same = (PaperTranslator(corpus().subwords.size, 6, 8, seed=2) for _ in "ab")
    run = train._Training(ours, corpus(), recipe, 0, None, None)
    rows = run.batches[0]
    assert len(rows) == 4
    run.advance()
    loss = same.nll(batch_of(corpus().train, rows)).sum() / 4
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(same.parameters(), 1.0)
    assert norm > 1  # nearly always so, with a sum
    for p, q in zip(ours.parameters(), same.parameters(), strict=True):
        squares = 0.05 * q.grad**2
        step = q.grad * (1e-7 / (squares + 1e-7)) ** 0.5
        torch.testing.assert_close(p.detach(), q.detach() - step)


def test_the_rate_falls_on_a_line_at_the_end():
    recipe = Recipe(10, learning_rate=1.0, decay=0.4)
    assert [recipe.rate(k) for k in range(10)] == pytest.approx(
        [1.0] * 7 + [0.75, 0.5, 0.25]
    )
    assert Recipe(10, learning_rate=1.0, decay=0.0).rate(9) == 1.0


@pytest.mark.parametrize(("updates", "checks"), [(10, 3), (10, 10), (3, 8)])
def test_validations_are_even_and_end_with_the_run(updates, checks):
    recipe = Recipe(updates, checks=checks)
    at = [k for k in range(1, updates + 1) if recipe.is_check(k)]
    assert len(at) == min(checks, updates) and at[-1] == updates


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"updates": 0}, "updates is 0"),
        ({"tokens": 0}, "tokens is 0"),
        ({"sentences": 0}, "sentences is 0"),
        ({"optimizer": "SGD"}, "unknown optimizer 'SGD'"),
        ({"loss": "words"}, "unknown loss 'words'"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"decay": 1.0}, "decay is 1.0"),
        ({"clip": -1.0}, "clip is -1.0"),
    ],
)
def test_bad_recipes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{"updates": 5, **options})


def test_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match="pieces; allowed: one with 5"):
        fit(Translator(5, 4, 4), corpus(), RECIPE)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    file = tmp_path / "part.safetensors"
    run = train._Training(a_model(), corpus(), RECIPE, 0, file, None)
    run.begin()
    run.store()
    with pytest.raises(ValueError, match="seed is 1, but checkpoint"):
        fit(a_model(), corpus(), RECIPE, seed=1, checkpoint=file)
    with pytest.raises(ValueError, match="was made with"):
        fit(a_model(gate="LSTM0"), corpus(), RECIPE, checkpoint=file)
