"""The cache against a plain loop over its definition."""

import math

import pytest
import torch
from gatebook.language import cache
from gatebook.language.cache import (
    Reading,
    cache_log_probability,
    cached_perplexity,
    mixture,
    read,
)
from gatebook.language.model import LanguageModel
from gatebook.language.perplexity import perplexity

EOS = 0


def a_text(n=40, words=6, width=5, dtype=torch.float64) -> Reading:
    g = torch.Generator().manual_seed(1)
    hidden = torch.randn(n, width, generator=g, dtype=dtype)
    target = torch.randint(words, (n,), generator=g)
    log_p = torch.randn(n, words, generator=g, dtype=dtype).log_softmax(1)
    return Reading(hidden, target, log_p[torch.arange(n), target])


def by_hand(text: Reading, t: int, window: int, theta: float) -> dict[int, float]:
    """p_cache of each word at step t, as the docstring of the module defines it."""
    shares: dict[int, float] = {}
    for i in range(max(0, t - window), t):
        share = math.exp(theta * (text.hidden[t] @ text.hidden[i]).item())
        word = int(text.target[i])
        shares[word] = shares.get(word, 0.0) + share
    return {word: s / sum(shares.values()) for word, s in shares.items()}


@pytest.mark.parametrize("window", [1, 2, 7, 39, 40, 1000])
@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
def test_the_cache_is_its_definition(window, theta):
    text = a_text()
    found = cache_log_probability(text, window=window, theta=theta).exp()
    for t in range(1, len(found)):
        wanted = by_hand(text, t, window, theta).get(int(text.target[t]), 0.0)
        assert found[t].item() == pytest.approx(wanted, rel=1e-12)
    assert found[0] == text.log_model[0].exp()


@pytest.mark.parametrize("block", [1, 3, 40, 64])
def test_the_blocks_do_not_matter(block, monkeypatch):
    whole = cache_log_probability(a_text(), window=9)
    monkeypatch.setattr(cache, "BLOCK", block)
    torch.testing.assert_close(cache_log_probability(a_text(), window=9), whole)


@pytest.mark.parametrize("first", [0, 1, 12, 39])
def test_what_is_looked_up_may_begin_anywhere(first):
    whole = cache_log_probability(a_text(), window=9)
    part = cache_log_probability(a_text(), window=9, first=first)
    torch.testing.assert_close(part, whole[first:])


def test_the_mixture_sums_to_one_over_all_words():
    text, total = a_text(words=6), torch.zeros(40, dtype=torch.float64)
    log_p = torch.randn(40, 6, dtype=torch.float64).log_softmax(1)
    for word in range(6):
        for t in range(40):
            # Only the last target is replaced: the cache before it stays.
            target = torch.cat([text.target[:t], torch.tensor([word])])
            one = Reading(text.hidden[: t + 1], target, log_p[: t + 1, word])
            last = cache_log_probability(one, window=7, first=t)
            total[t] += mixture(one.log_model[t:], last, 0.3).exp().item()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_large_scores_overflow_nowhere():
    text = a_text(dtype=torch.float32)
    big = text._replace(hidden=text.hidden * 1e6)
    found = mixture(big.log_model, cache_log_probability(big, window=9), 0.1)
    assert found.isfinite().all()
    # All of the cache's weight then lies on the nearest output.
    nearest = [(big.hidden[t] @ big.hidden[t - 9 : t].T).argmax() for t in range(9, 40)]
    follows = torch.stack([big.target[t + k] for t, k in enumerate(nearest)])
    sure = cache_log_probability(big, window=9, first=9) > -1e-6
    assert torch.equal(sure, follows == big.target[9:])
    assert sure.any() and not sure.all()


def test_a_text_that_repeats_itself_is_found_out():
    # Equal outputs at equal places, and outputs that are orthogonal at others.
    hidden = torch.eye(20, dtype=torch.float64).repeat(3, 1)
    target = torch.randint(1000, (20,)).repeat(3)
    text = Reading(hidden, target, torch.full((60,), -9.0, dtype=torch.float64))
    found = cache_log_probability(text, window=20, theta=20.0)
    assert found[20:].min() > -1e-6
    assert cache_log_probability(text, window=19, theta=20.0)[20:].max() < -1


def test_a_weight_of_zero_is_the_model():
    text = a_text()
    log_cache = cache_log_probability(text, window=3)
    assert torch.equal(mixture(text.log_model, log_cache, 0.0), text.log_model)


def test_a_small_weight_is_close_to_it_even_where_the_cache_has_nothing():
    log_model = torch.tensor([-2.0, -2.0], dtype=torch.float64)
    log_cache = torch.tensor([-math.inf, -1.0], dtype=torch.float64)
    found = mixture(log_model, log_cache, 0.25).exp()
    wanted = [0.75 * math.exp(-2), 0.75 * math.exp(-2) + 0.25 * math.exp(-1)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-14)


# -- with a model ------------------------------------------------------------


def a_model(**options) -> LanguageModel:
    return LanguageModel(11, 6, 7, num_layers=2, seed=3, **options)


def ids(n=700):
    return torch.randint(11, (n,), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 700])
def test_without_weight_it_is_the_plain_perplexity_exactly(n):
    model = a_model()
    plain = perplexity(model, ids(n), eos=EOS)
    assert cached_perplexity(model, ids(n), eos=EOS, weight=0.0) == plain


@pytest.mark.parametrize("window", [1, 5, 256, 300, 10_000])
def test_window_by_window_gives_the_figure_of_the_whole_text(window):
    model = a_model().double()
    whole = read(model, ids(), eos=EOS)
    log_cache = cache_log_probability(whole, window=window, theta=2.0)
    wanted = -mixture(whole.log_model, log_cache, 0.2).mean().item()
    found = cached_perplexity(
        model, ids(), eos=EOS, window=window, theta=2.0, weight=0.2
    )
    assert found.loss == pytest.approx(wanted, rel=1e-12)
    assert found.tokens == 700


def test_reading_is_what_the_model_does_in_one_go():
    model = a_model().double().eval()
    text = read(model, ids(), eos=EOS)
    before = torch.cat([torch.tensor([EOS]), ids()[:-1]])
    raw = model(before[:, None], model.start(1)).raw[:, 0]
    torch.testing.assert_close(text.hidden, raw)
    torch.testing.assert_close(text.log_model, -model.nll(raw, ids()))
    assert torch.equal(text.target, ids())


def test_the_mode_is_put_back():
    model = a_model().train()
    cached_perplexity(model, ids(10), eos=EOS)
    assert model.training
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def test_dropout_has_no_part_in_it():
    model = a_model().train()
    figures = {cached_perplexity(model, ids(50), eos=EOS).loss for _ in range(3)}
    assert len(figures) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "window is 0"),
        ({"theta": -1.0}, "theta is -1.0; allowed: a finite number >= 0"),
        ({"theta": math.inf}, "theta is inf"),
        ({"theta": math.nan}, "theta is nan"),
        ({"weight": 1.0}, "weight is 1.0"),
        ({"weight": -0.1}, "weight is -0.1"),
    ],
)
def test_what_is_not_allowed_is_named(options, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        cached_perplexity(a_model(), ids(5), eos=EOS, **options)


def test_an_empty_text_has_no_perplexity():
    for function in (read, cached_perplexity):
        with pytest.raises(ValueError, match="tokens of the text is 0"):
            function(a_model(), ids(0), eos=EOS)


def test_the_first_target_must_be_there():
    with pytest.raises(ValueError, match="first is 40"):
        cache_log_probability(a_text(), first=40)


@pytest.mark.parametrize("wait", [0, 1, 250, 501, 699, 5000])
def test_while_it_waits_the_model_predicts_alone(wait):
    model, text = a_model(), ids()
    options = {"eos": EOS, "window": 30}
    whole = read(model, text, eos=EOS)
    cached = mixture(whole.log_model, cache_log_probability(whole, window=30), 0.1)
    wanted = torch.cat([whole.log_model[:wait], cached[wait:]]).double().mean()
    found = cached_perplexity(model, text, wait=wait, **options)
    assert found.loss == pytest.approx(-wanted.item(), rel=1e-5)
    with pytest.raises(ValueError, match="wait is -1"):
        cached_perplexity(model, text, wait=-1, **options)
