"""Perplexity, recomputed by other routes."""

import math

import pytest
import torch
import torch.nn.functional as F
from gatebook import reference
from gatebook.language import perplexity as module
from gatebook.language import reading
from gatebook.language.cache import cached_perplexity
from gatebook.language.cache import read as cache_read
from gatebook.language.model import LanguageModel
from gatebook.language.perplexity import part_perplexity, perplexity

from tests.gatebook.language.texts import small


@pytest.fixture(scope="module")
def model():
    model = LanguageModel(20, 8, 12, seed=2).eval()
    with torch.no_grad():
        for p in model.parameters():  # so that each word depends on the past
            p.mul_(6)
    return model


@pytest.fixture(scope="module")
def text():
    return small(part=211).test


def by_the_chain_rule(model, ids, eos):
    """One word at a time, through the reference loop, in plain Python sums."""
    state, total, before = model.start(1), 0.0, eos
    with torch.no_grad(), reference():
        for word in ids.tolist():
            raw, _, state = model(torch.tensor([[before]]), state)
            logits = F.linear(raw[0, 0], model.head.weight, model.head.bias)
            total -= logits.double().log_softmax(0)[word].item()
            before = word
    return total / len(ids)


def test_it_is_the_product_of_all_words_probabilities(model, text):
    found = perplexity(model, text[:60], eos=0)
    assert found.tokens == 60
    assert found.loss == pytest.approx(by_the_chain_rule(model, text[:60], 0), 1e-6)
    assert found.value == pytest.approx(math.exp(found.loss))


@pytest.mark.parametrize("window", [3, 210, 5000])
def test_the_window_does_not_matter(model, text, window, monkeypatch):
    whole = perplexity(model, text, eos=0).loss
    monkeypatch.setattr(reading, "WINDOW", window)
    assert perplexity(model, text, eos=0).loss == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("parts", [2, 10, 50])
def test_parts_drop_no_token(model, text, parts):
    found = perplexity(model, text, eos=0, batch_size=parts)
    assert found.tokens == 211
    before = torch.cat([torch.tensor([0]), text[:-1]])
    total = 0.0
    for read, target in zip(
        before.tensor_split(parts), text.tensor_split(parts), strict=True
    ):
        with torch.no_grad():
            raw = model(read[:, None], model.start(1)).raw[:, 0]
        total += model.nll(raw, target).sum().item()
    assert found.loss == pytest.approx(total / 211, rel=1e-5)


def test_a_model_that_knows_nothing_has_the_vocabulary_as_its_perplexity(text):
    model = LanguageModel(20, 8, 12)
    with torch.no_grad():
        model.embedding.weight.zero_()
    assert perplexity(model, text, eos=0).value == pytest.approx(20)


def test_articles_are_read_without_a_past(model, text):
    begins = torch.tensor([0, 50, 133])
    found = perplexity(model, text, eos=0, articles=begins).loss
    before = torch.cat([torch.tensor([0]), text[:-1]])
    total = 0.0
    for read, target in zip(
        before.split([50, 83, 78]), text.split([50, 83, 78]), strict=True
    ):
        with torch.no_grad():
            raw = model(read[:, None], model.start(1)).raw[:, 0]
        total += model.nll(raw, target).sum().item()
    assert found == pytest.approx(total / 211, rel=1e-6)
    assert found != pytest.approx(perplexity(model, text, eos=0).loss, rel=1e-4)


def test_training_goes_on_as_it_was(model, text):
    model.train()
    part_perplexity(model, small(), "valid")
    assert model.training
    model.eval()


def test_a_hopeless_model_has_an_infinite_perplexity():
    assert module.Perplexity(800.0, 3).value == math.inf
    assert math.isnan(module.Perplexity(math.nan, 3).value)
    assert math.isnan(module.of_loss(math.nan))


def test_bad_arguments_are_refused(model, text):
    with pytest.raises(ValueError, match="unknown part 'dev'"):
        part_perplexity(model, small(), "dev")
    with pytest.raises(ValueError, match="tokens of the text is 3"):
        perplexity(model, text[:3], eos=0, batch_size=4)


@pytest.mark.parametrize("function", [perplexity, cached_perplexity, cache_read])
def test_ids_that_the_model_does_not_have_are_refused(model, function):
    for bad in (-1, 20):
        with pytest.raises(ValueError, match=f"ids has {bad}; allowed: from 0 to 19"):
            function(model, torch.tensor([3, bad]), eos=0)
        with pytest.raises(ValueError, match=f"eos is {bad}; allowed: .* 0 to 19"):
            function(model, torch.tensor([3]), eos=bad)


def test_ids_are_integers(model):
    with pytest.raises(ValueError, match="ids are torch.float32 .* a row of integers"):
        reading.check_ids(model, torch.tensor([3.7]), 0)
