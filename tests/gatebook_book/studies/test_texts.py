"""Points of a language page: stored, and trained once for several pages."""

import math

import pytest
import torch
from gatebook.language.model import Dropouts
from gatebook.language.recipe import Recipe
from gatebook_book.runs.store import Store
from gatebook_book.studies import texts as experiment
from gatebook_book.studies import trained as trained_module
from gatebook_book.studies.texts import TextPoint, figures, train_texts, trained

from tests.gatebook.language.texts import small

RECIPE = Recipe(1, finetune=1, batch_size=4, bptt=20, learning_rate=5.0)


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Each test as in a process of its own."""
    monkeypatch.setattr(trained_module, "_MADE", {})


def point(seed=0, recipe=RECIPE, **options):
    options = {"gate": "G2", "dropouts": Dropouts(0.1, 0.1, 0.1, 0.1)} | options
    return TextPoint("G2", seed, small(), recipe, 8, 12, 2, options)


def test_two_pages_share_a_training(tmp_path, monkeypatch):
    awd, other = (Store(page, "live", tmp_path) for page in ("a/awd", "b/other"))
    first = train_texts(awd, [point()])[0]
    assert first["status"] == "finished"
    assert first["metrics"]["perplexity"] == first["metrics"]["finetuned_test"]
    assert first["parameters"]["dropout_input"] == 0.1
    assert first["parameters"]["corpus_sum"] == small().sum

    trained_module._MADE.clear()

    def never(*_, **__):
        raise AssertionError("trained twice")

    monkeypatch.setattr(experiment, "fit", never)
    seen = []

    def measure(model, point, progress):
        seen.append(model)
        return {"metrics": {"weights": sum(p.sum().item() for p in model.parameters())}}

    again = train_texts(other, [point()], measure=measure)[0]
    assert again["curves"] == first["curves"]
    model, progress = trained(awd, point())
    assert model is seen[0] and progress.figures["finetuned_test"] > 1
    with pytest.raises(AssertionError, match="trained twice"):
        train_texts(other, [point(seed=1)])
    monkeypatch.setattr(experiment, "sum_behind", lambda module: "edited")
    with pytest.raises(AssertionError, match="trained twice"):
        trained(awd, point())


def test_a_diverged_run_has_no_figure(tmp_path, monkeypatch):
    build = TextPoint.build

    def broken(self, device):
        model = build(self, device)
        with torch.no_grad():
            model.head.bias.fill_(math.nan)
        return model

    monkeypatch.setattr(TextPoint, "build", broken)
    run = train_texts(Store("a/awd", "live", tmp_path), [point()])[0]
    assert run["status"] == "diverged" and run["metrics"]["perplexity"] is None


def test_a_gates_name_is_checked_before_anything_is_trained():
    with pytest.raises(ValueError, match="unknown gate 'G3'"):
        point(gate="G3").build()


def test_figures_take_the_last_phase(tmp_path):
    store = Store("a/awd", "live", tmp_path)
    model, progress = trained(store, point(recipe=Recipe(1, bptt=20)))
    found = figures(model, point(), progress)["metrics"]
    assert found["perplexity"] == found["trained_test"]
