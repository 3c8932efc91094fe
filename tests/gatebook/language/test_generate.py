"""Generated text: seeds, temperature, prompts."""

import pytest
import torch
from gatebook.language.corpus import Corpus
from gatebook.language.generate import _draw, generate
from gatebook.language.model import LanguageModel

WORDS = ("<eos>", "<unk>", "the", "ark", "of", "noah", "rain", "fell")


@pytest.fixture
def corpus() -> Corpus:
    text = torch.tensor([2, 3, 4, 5, 0, 2, 6, 7, 0, 1, 7, 0])
    return Corpus("text", text, text, text, WORDS, "a test")


@pytest.fixture
def model() -> LanguageModel:
    # Weights this large make the words' probabilities differ.
    made = LanguageModel(8, 5, 6, num_layers=2, seed=1)
    with torch.no_grad():
        for weight in made.parameters():
            weight *= 10
    return made


def test_the_prompt_comes_first_and_the_words_follow(model, corpus):
    text = generate(model, corpus, "the ark", 40, seed=0)
    assert text.startswith("the ark")
    assert len(corpus.encode(text)) == 42


def test_equal_seeds_give_equal_text(model, corpus):
    texts = [generate(model, corpus, "the ark", 40, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_zero_is_greedy_and_small_temperatures_tend_to_it(model, corpus):
    greedy = generate(model, corpus, "rain", 30, temperature=0, seed=0)
    for temperature in (1e-3, 1e-300, 5e-324):
        cold = generate(model, corpus, "rain", 30, temperature=temperature, seed=5)
        assert cold == greedy


def test_greedy_takes_the_likeliest_word_each_time(model, corpus):
    ids = corpus.encode("the ark of")
    model.eval()
    for _ in range(8):
        read = torch.cat([torch.tensor([corpus.eos]), ids])
        raw = model(read[:, None], model.start(1)).raw[-1]
        ids = torch.cat([ids, model.log_probabilities(raw).argmax(1)])
    found = generate(model, corpus, "the ark of", 8, temperature=0, seed=0)
    assert found == corpus.decode(ids)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_draws_have_the_probabilities_to_that_power(temperature):
    p = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    draws = torch.cat([_draw(p.log(), temperature, g) for _ in range(4000)])
    power = p ** (1 / temperature)
    shares = draws.bincount(minlength=3) / 4000
    assert (shares - power / power.sum()).abs().max() < 0.03


def test_the_mode_and_the_default_generator_are_left_as_they_were(model, corpus):
    model.train()
    before = torch.get_rng_state()
    generate(model, corpus, "the", 3, seed=0)
    assert model.training and torch.equal(torch.get_rng_state(), before)


def test_an_unknown_word_is_named_with_its_neighbours(model, corpus):
    with pytest.raises(ValueError, match=r"'arc', .*did you mean 'ark'\? "):
        generate(model, corpus, "the arc", 3, seed=0)
    with pytest.raises(ValueError, match=r"'zzz', which text does not know; allowed"):
        generate(model, corpus, "zzz", 3, seed=0)


def test_unknown_may_be_meant(model, corpus):
    assert generate(model, corpus, "the <unk>", 1, seed=0).startswith("the <unk>")


def test_words_may_be_written_as_in_print(model, corpus):
    assert generate(model, corpus, "The Ark", 1, seed=0).startswith("the ark")


def test_a_cased_vocabulary_is_read_as_it_is_and_in_lower_case_else():
    ids = torch.tensor([2, 3, 4, 5, 0])
    words = ("<eos>", "<unk>", "Paris", ",", "Lyon", "is", "'s")
    cased = Corpus("text", ids, ids, ids, words, "a test")
    assert cased.decode(cased.encode("Paris, Lyon")) == "Paris , Lyon"
    assert cased.decode(cased.encode("Paris’s IS, lyon")) == "Paris 's is , <unk>"
    made = LanguageModel(7, 5, 6, num_layers=2, seed=1)
    assert generate(made, cased, "Paris, Lyon", 1, seed=0).startswith("Paris , Lyon")
    with pytest.raises(ValueError, match="'paris,', .*did you mean 'Paris'"):
        generate(made, cased, "paris, Lyon", 1, seed=0)


@pytest.mark.parametrize("temperature", [-1.0, float("inf"), float("nan")])
def test_temperatures_that_are_not_allowed(model, corpus, temperature):
    with pytest.raises(ValueError, match="temperature is .*; allowed: a finite number"):
        generate(model, corpus, "the", 1, temperature=temperature, seed=0)


def test_words_and_vocabulary_are_checked(model, corpus):
    with pytest.raises(ValueError, match="words is 0"):
        generate(model, corpus, "the", 0, seed=0)
    other = LanguageModel(9, 5, 6, num_layers=2, seed=1)
    with pytest.raises(ValueError, match="8 words; allowed: one with 9"):
        generate(other, corpus, "the", 1, seed=0)


def test_a_model_with_weights_of_nan_writes_nothing(model, corpus):
    with torch.no_grad():
        model.embedding.weight[3, 0] = torch.nan
    for temperature in (0, 1):
        with pytest.raises(ValueError, match="a probability of NaN; allowed: weights"):
            generate(model, corpus, "ark", 3, temperature=temperature, seed=0)
