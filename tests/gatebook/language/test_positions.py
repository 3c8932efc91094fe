"""The loss by position: it is the perplexity's, token by token."""

from dataclasses import replace

import pytest
import torch
from gatebook.language.corpus import Corpus
from gatebook.language.model import NO_DROPOUT, LanguageModel
from gatebook.language.perplexity import part_perplexity
from gatebook.language.positions import article_losses, by_position

EOS, EQUALS = 0, 1


@pytest.fixture
def titled():
    """Three articles of 305, 9 and 40 tokens behind one empty line."""
    g = torch.Generator().manual_seed(0)
    ids = [EOS]
    for length in (305, 9, 40):
        body = torch.randint(2, 20, (length - 7,), generator=g).tolist()
        ids += [EQUALS, 5, EQUALS, EOS, EOS, *body, EOS, EOS]
    text = torch.tensor(ids)
    words = ("<eos>", "=", *(f"w{k}" for k in range(18)))
    return Corpus("wikitext-2", text, text, text, words, "made up")


def untrained(gate="UR", layers=1):
    options = {"dropouts": NO_DROPOUT, "weight_drop": 0.0, "tied": False}
    return LanguageModel(20, 8, 16, layers, gate=gate, seed=2, **options)


LENGTHS = {"valid": [1, 305, 9, 40], "test": [9, 40]}


@pytest.mark.parametrize("layers, part", [(1, "valid"), (2, "valid"), (1, "test")])
def test_all_losses_together_are_the_exact_perplexity(titled, layers, part):
    model, titled = untrained(layers=layers), replace(titled, test=titled.test[306:])
    losses = article_losses(model, titled, part)
    assert (~losses.isnan()).sum(0).tolist() == LENGTHS[part]
    exact = part_perplexity(model, titled, part)
    assert losses[~losses.isnan()].double().mean() == pytest.approx(exact.loss, 1e-5)
    assert model.training


def test_an_article_does_not_know_the_one_before(titled):
    model = untrained()
    other = titled.train.clone()
    other[10:200] = 7
    changed = replace(titled, train=other)
    ours, theirs = (article_losses(model, c, "train") for c in (titled, changed))
    assert not torch.equal(ours[:, 1], theirs[:, 1])
    torch.testing.assert_close(ours[:9, 2], theirs[:9, 2])


def test_bins_hold_each_token_once():
    losses = torch.arange(1.0, 11).repeat(2, 1).T.contiguous()
    losses[5:, 1] = torch.nan
    bins = by_position(losses)
    assert bins["first"] == [1, 2, 4, 8]
    assert bins["tokens"] == [2, 4, 6, 3]
    assert bins["loss"] == [1.0, 2.5, pytest.approx(31 / 6), 9.0]


def test_a_text_without_articles_is_refused(titled):
    whole = replace(titled, name="ptb")
    with pytest.raises(ValueError, match="corpus is 'ptb'; allowed: one with articles"):
        article_losses(untrained(), whole, "valid")
    with pytest.raises(ValueError, match="unknown part 'dev'"):
        article_losses(untrained(), titled, "dev")
