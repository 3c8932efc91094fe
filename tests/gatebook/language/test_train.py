"""Training of language models: the trigger, averaging, resume, bad input."""

import dataclasses
import math
import os
import signal
import threading

import pytest
import torch
from gatebook.language import train
from gatebook.language.model import NO_DROPOUT, Dropouts, Hidden, LanguageModel
from gatebook.language.recipe import Capped, Recipe
from gatebook.language.train import averaged, fit, triggered
from gatebook.language.windows import columns, draw_length
from gatebook.training.checkpoint import CheckpointError

from tests.gatebook.language.texts import small

RECIPE = Recipe(2, finetune=1, batch_size=4, bptt=20, learning_rate=5.0, checks=2)


def model(seed=0, **options):
    return LanguageModel(20, 8, 12, seed=seed, weight_drop=0.2, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("averaging", [False, True])
def test_a_step_is_the_textbooks(averaging):
    """One window by hand: gradient of loss and penalties, clipped, times the rate."""
    recipe = Recipe(
        1,
        batch_size=4,
        bptt=20,
        varied=False,
        learning_rate=2.0,
        clip=0.1,
        weight_decay=0.01,
    )
    options = {"dropouts": NO_DROPOUT, "seed": 1}
    ours, same = (LanguageModel(20, 8, 12, weight_drop=0, **options) for _ in "ab")
    run = train._Training(ours, small(), recipe, 0, None, None)
    run.begin()
    run._make_optimizer(averaging)
    run._step()
    text = columns(small().train, 4, 0).window(0, 20, torch.device("cpu"))
    raw = same(text.read, same.start(4)).raw
    loss = same.nll(raw, text.target).mean() + 2.0 * raw.square().mean()
    loss = loss + (raw[1:] - raw[:-1]).square().mean()
    gradients = torch.autograd.grad(loss, list(same.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    for p, q, g in zip(ours.parameters(), same.parameters(), gradients, strict=True):
        g = g * min(1.0, 0.1 / norm.item()) + 0.01 * q
        torch.testing.assert_close(p, q - 2.0 * g, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("logs", "loss", "fires"),
    [
        ([3.0, 2.0, 1.0], 9.0, False),  # no more than n values yet
        ([3.0, 2.0, 1.0, 1.0], 2.9, False),  # only 3.0 is old enough
        ([3.0, 2.0, 1.0, 1.0], 3.1, True),
        # The paper's minimum over the last n would have fired here.
        ([3.0, 1.0, 1.0, 1.0], 2.0, False),
    ],
)
def test_the_trigger_is_the_codes(logs, loss, fires):
    assert triggered(loss, logs, nonmono=3) is fires


def test_averaging_begins_at_the_trigger_and_serves_validation():
    # A rate at which nothing can improve for long.
    recipe = Recipe(
        3, batch_size=4, bptt=20, learning_rate=60.0, nonmono=1, checks=4, clip=5.0
    )
    run = train._Training(model(), small(), recipe, 0, None, None)
    run.begin()
    while run.goes_on() and not run.progress.averaging:
        run.advance()
    assert run.progress.switched_at == run.progress.history.step
    seen = []
    for _ in range(6):
        run._step()
        seen.append(weights(run.model))
    own = seen[-1].clone()
    with averaged(run.optimizer):
        # torch's average leaves out the first step.
        mean = torch.stack(seen[1:]).mean(0)
        torch.testing.assert_close(weights(run.model), mean, rtol=1e-4, atol=1e-5)
        wanted = train.part_perplexity(run.model, small(), "valid", train.CHECK_PARTS)
    assert torch.equal(weights(run.model), own)
    run._check()
    assert run.progress.history.curves["perplexity"][-1] == wanted.value


def test_penalties_are_of_what_dropout_left_and_of_steps_before_it():
    raw, dropped = torch.randn(2, 5, 3, 4)
    found = train.penalty(Hidden(raw, dropped, []), Recipe(1, ar=2.0, tar=3.0))
    jumps = (raw[1:] - raw[:-1]).square().mean()
    torch.testing.assert_close(found, 2 * dropped.square().mean() + 3 * jumps)


def test_it_ends_with_the_weights_that_were_best():
    corpus, ours = small(), model()
    progress = fit(ours, corpus, RECIPE)
    best = train.part_perplexity(ours, corpus, "valid", train.CHECK_PARTS)
    assert best.value == pytest.approx(min(progress.history.curves["perplexity"]))
    exact = train.part_perplexity(ours, corpus, "test").value
    assert progress.figures["finetuned_test"] == pytest.approx(exact)


def test_a_phase_has_the_figures_of_its_best_weights():
    recipe = Recipe(4, batch_size=4, bptt=20, learning_rate=60.0, nonmono=9, clip=5.0)
    ours = model()
    progress = fit(ours, small(), recipe)
    curve = progress.history.curves["perplexity"]
    assert curve[-1] > min(curve)  # the last weights are not the best
    exact = train.part_perplexity(ours, small(), "test").value
    assert progress.figures["trained_test"] == pytest.approx(exact)


def test_a_diverged_run_ends_with_its_best_weights_too():
    run = train._Training(model(), small(), RECIPE, 0, None, None)
    run.begin()
    while run.progress.best is None:
        run.advance()
    best = weights(run.model)
    with torch.no_grad():
        run.model.head.bias.fill_(math.nan)
    run.advance()
    assert run.end().history.status == "diverged"
    assert torch.equal(weights(run.model), best)


def test_finetuning_ends_at_its_trigger(monkeypatch):
    monkeypatch.setattr(train, "triggered", lambda loss, logs, n: len(logs) > 0)
    recipe = Recipe(1, finetune=5, batch_size=4, bptt=20, learning_rate=5.0)
    progress = fit(model(), small(), recipe)
    assert progress.history.curves["epoch"] == pytest.approx([1, 1, 2])
    assert set(progress.history.curves["averaging"]) == {0.0, 1.0}


def test_windows_cover_the_text_once_an_epoch():
    corpus = small()
    text = columns(corpus.train, 4, corpus.eos)
    assert text.read.shape == (300, 4)
    flat = text.target.T.flatten()
    assert torch.equal(flat, corpus.train)
    assert torch.equal(text.read[1:], text.target[:-1])
    assert text.read[0, 0] == corpus.eos and text.read[0, 1] == corpus.train[299]
    lengths, seen = [], 0
    run = train._Training(model(), corpus, RECIPE, 0, None, None)
    run.begin()
    while run.progress.epoch == 0:
        before = run.progress.row
        run.advance()
        lengths.append((run.progress.row or 300) - before)
        seen += lengths[-1]
    assert seen == 300 and len(set(lengths)) > 3
    # The next epoch reads the text from its start, without a past.
    assert not any(tensor.any() for pair in run.whole.state for tensor in pair)


def first_windows(seed):
    """Lengths of some windows, and the rates of their steps."""
    run = train._Training(model(), small(), RECIPE, seed, None, None)
    run.begin()
    found = []
    for _ in range(5):
        before = run.progress.row
        run._step()
        rate = run.optimizer.param_groups[0]["lr"]
        found.append((run.progress.row - before, rate))
    return found


def test_the_rate_goes_with_a_windows_length_which_the_seed_decides():
    found = first_windows(0)
    assert len({length for length, _ in found}) > 1
    for length, rate in found:
        assert rate == pytest.approx(5.0 * length / 20)
    assert found == first_windows(0) != first_windows(1)


def test_the_training_perplexity_is_of_the_windows_since_the_last_validation(
    monkeypatch,
):
    ours, losses = model(), []
    mean_nll = ours.mean_nll

    def noted(*window):
        loss = mean_nll(*window)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(ours, "mean_nll", noted)
    recipe = Recipe(1, batch_size=4, bptt=50, varied=False, learning_rate=5.0, checks=2)
    found = fit(ours, small(), recipe).history.curves["train_perplexity"]
    means = [sum(part) / 3 for part in (losses[:3], losses[3:])]
    assert found == pytest.approx([math.exp(mean) for mean in means])


def test_lengths_of_windows_are_as_the_code_draws_them():
    g = torch.Generator().manual_seed(0)
    drawn = torch.tensor([draw_length(70, g) for _ in range(4000)], dtype=torch.float)
    short = (drawn < 50).float().mean()
    assert 0.035 < short < 0.065
    assert abs(drawn[drawn > 50].mean() - 69.5) < 0.5  # int() takes half a step off
    assert min(draw_length(6, g) for _ in range(200)) == 5


def test_more_validations_than_windows_are_refused_at_once():
    recipe = Recipe(1, batch_size=4, bptt=70, checks=5)
    message = "checks is 5 with a bptt of 70, .* 300 tokens per column.*at most 4"
    with pytest.raises(ValueError, match=message):
        fit(model(), small(), recipe)


@pytest.mark.parametrize("varied", [True, False])
def test_as_many_validations_as_windows_are_one_each(varied):
    recipe = Recipe(3, batch_size=4, bptt=23, checks=13, varied=varied)
    progress = fit(model(), small(), recipe)
    epochs = progress.history.curves["epoch"]
    assert epochs[-1] == 3 and len(set(epochs)) == len(epochs)


class Stop(Exception):
    """Ends a run where no step is."""


@pytest.mark.parametrize("stop", [1, 9, 17, 24])
def test_a_run_goes_on_with_the_same_numbers(tmp_path, stop, monkeypatch):
    corpus, file = small(), tmp_path / "run.safetensors"
    options = {"gate": "G2", "dropouts": Dropouts(0.1, 0.2, 0.2, 0.2)}
    recipe = Recipe(
        1, finetune=1, batch_size=4, bptt=20, learning_rate=30.0, nonmono=1, checks=3
    )
    whole = model(**options)
    wanted = fit(whole, corpus, recipe)

    first = model(**options)
    run = train._Training(first, corpus, recipe, 0, file, None)
    run.begin()
    for _ in range(stop):
        if run.goes_on():
            run.advance()
    run.store()
    again = model(seed=9, **options)  # whose weights are all replaced
    found = fit(again, corpus, recipe, checkpoint=file)
    assert torch.equal(weights(again), weights(whole))
    assert found.figures == wanted.figures
    assert found.history.curves == wanted.history.curves
    assert found.switched_at == wanted.switched_at


def test_ctrl_c_stores_a_whole_state(tmp_path):
    corpus, file = small(), tmp_path / "run.safetensors"
    whole = model()
    fit(whole, corpus, RECIPE)
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    broken = model()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fit(broken, corpus, Recipe(500, batch_size=4, bptt=20), checkpoint=file)
    assert train.progress_of(file)["history"]["step"] > 0


def test_a_loss_that_is_not_finite_ends_the_run():
    ours = model()
    with torch.no_grad():
        ours.layers[1].weight_ih_l0.fill_(math.nan)
    progress = fit(ours, small(), RECIPE)
    assert progress.history.status == "diverged"
    assert progress.history.diverged_at == 1


def test_it_learns_what_the_text_has():
    options = {"varied": False, "weight_decay": 0, "ar": 0, "tar": 0}
    recipe = Recipe(6, 0, "Adam", 0.03, batch_size=4, bptt=20, clip=1.0, **options)
    ours = LanguageModel(20, 8, 12, dropouts=NO_DROPOUT, weight_drop=0)
    progress = fit(ours, small(), recipe)
    assert progress.history.status == "finished" and progress.switched_at is None
    # Three words can follow each word, one as likely as the other.
    assert progress.figures["trained_test"] < 5
    assert progress.history.curves["epoch"] == pytest.approx(list(range(1, 7)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"finetune": -1}, "finetune is -1"),
        ({"optimizer": "ASGD"}, "unknown optimizer 'ASGD'"),
        ({"clip": 0.0}, r"clip is 0\.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"ar": -1.0}, r"ar is -1\.0"),
    ],
)
def test_bad_recipes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"epochs": 1} | options))


def test_a_text_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="bptt is 400 with a batch_size of 4"):
        fit(model(), small(), Recipe(1, batch_size=4, bptt=400))


@pytest.mark.parametrize("part, n, least", [("valid", 9, 10), ("test", 0, 1)])
def test_a_text_that_is_too_short_for_its_figures_is_refused_at_once(part, n, least):
    corpus = dataclasses.replace(small(), **{part: small().train[:n]})
    message = f"{part} of the corpus 'text' has {n} tokens; allowed: {least} or more"
    lines = []
    with pytest.raises(ValueError, match=message):
        fit(model(), corpus, RECIPE, report=lines.append)
    assert not lines


def test_another_vocabulary_is_refused():
    other = LanguageModel(21, 8, 12)
    with pytest.raises(ValueError, match="20 words; allowed: one with 21, as"):
        fit(other, small(), RECIPE)


def test_a_checkpoint_of_another_text_or_model_is_refused(tmp_path):
    file = tmp_path / "run.safetensors"
    run = train._Training(model(), small(), RECIPE, 0, file, None)
    run.begin()
    run.advance()
    run.store()
    with pytest.raises(ValueError, match="corpus is .*was made with"):
        fit(model(), small(seed=1), RECIPE, checkpoint=file)
    with pytest.raises(ValueError, match="was made with"):
        fit(model(gate="G2"), small(), RECIPE, checkpoint=file)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="delete it to start anew"):
        fit(model(), small(), RECIPE, checkpoint=file)


def test_only_finetuning_cuts_long_windows():
    capped = Capped(1, 1, bptt=70)
    assert [capped.length(n, "training") for n in (60, 95)] == [60, 95]
    assert [capped.length(n, "finetuning") for n in (60, 80, 95)] == [60, 80, 80]
    assert Capped(1, 1, bptt=70, longest=3).length(95, "finetuning") == 73
    assert Recipe(1, 1, bptt=70).length(95, "finetuning") == 95
    with pytest.raises(ValueError, match="longest is -1"):
        Capped(1, longest=-1)


def test_a_capped_finetuning_takes_more_steps():
    options = {"finetune": 1, "batch_size": 4, "bptt": 6, "learning_rate": 2.0}
    steps = [
        fit(model(), small(), recipe).history.step
        for recipe in (Recipe(1, **options), Capped(1, longest=0, **options))
    ]
    assert steps[1] > steps[0]  # shorter windows are more of them
