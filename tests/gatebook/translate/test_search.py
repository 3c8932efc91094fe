"""Beam search: greedy, exhaustive, the normalisation, bad input."""

import itertools

import pytest
import torch
from gatebook.modes import evaluating
from gatebook.translate import search
from gatebook.translate.batches import Batch, padded
from gatebook.translate.judge import translations
from gatebook.translate.model import Translator
from gatebook.translate.paper import PaperTranslator
from gatebook.translate.search import translate

from tests.gatebook.translate.texts import corpus

SOURCES = [[5, 3, 0], [4, 0], [2, 2, 4, 3, 0], [3, 5, 2, 0]]


def a_model(kind=Translator, size=6, seed=0):
    """Untrained, with weights large enough that its opinions differ."""
    model = kind(size, 6, 8, seed=seed).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    return model


def log_p(model, source, target):
    """Sum of log p of the words of ``target``, which may be open."""
    with evaluating(model):
        batch = Batch(*padded([source]), *padded([target]), [0])
        return -model.nll(batch).sum().item()


def greedy(model, source):
    """One word after the other, the whole prefix anew each time."""
    said: list[int] = []
    with evaluating(model):
        memory = model.encode(*padded([source]))
        for _ in range(search.longest_translation(len(source))):
            target = torch.tensor([*said, 0])[:, None]
            readout = model.decode(memory, target)[-1]
            word = int(model.head(readout).argmax())
            if word == 0:
                break
            said.append(word)
    return said


@pytest.mark.parametrize("kind", [Translator, PaperTranslator])
def test_a_beam_of_one_is_greedy(kind):
    for seed in range(3):
        model = a_model(kind, seed=seed)
        found = translate(model, SOURCES, beam=1)
        assert found == [greedy(model, source) for source in SOURCES]


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_what_an_exhaustive_search_finds(alpha, monkeypatch):
    monkeypatch.setattr(search, "longest_translation", lambda length: 3)
    words = (1, 2, 3)
    every = [[*y, 0] for n in range(3) for y in itertools.product(words, repeat=n)]
    # Open after three steps, and compared as they are.
    every += [list(y) for y in itertools.product(words, repeat=3)]
    for seed in range(3):
        model, source = a_model(size=4, seed=seed), [2, 3, 0]
        with evaluating(model):
            batch = Batch(*padded([source] * 40), *padded(every), list(range(40)))
            table = torch.zeros(3, 40)
            table[batch.real] = -model.nll(batch)
        scores = table.sum(0) / batch.target_lengths**alpha
        best = every[int(scores.argmax())]
        found = translate(model, [source], beam=40, alpha=alpha)
        assert found == [[word for word in best if word]]


@pytest.mark.parametrize("beam", [1, 3])
def test_weights_that_are_nan_are_refused(beam):
    model = a_model()
    with torch.no_grad():
        model.encoder[0].weight_hh_l0[0, 0] = torch.nan
    with pytest.raises(ValueError, match="probability of NaN; allowed"):
        translate(model, SOURCES, beam=beam)


@pytest.mark.parametrize("beam", [1, 3])
def test_sentences_do_not_see_each_other(beam, monkeypatch):
    model = a_model()
    alone = [translate(model, [source], beam=beam)[0] for source in SOURCES]
    assert translate(model, SOURCES, beam=beam) == alone
    monkeypatch.setattr(search, "ROWS", 4)
    assert translate(model, SOURCES, beam=beam) == alone


def test_a_wider_beam_finds_no_less_likely_translations():
    """Where the length does not count, and on the whole: no theorem says each."""
    sums = []
    for beam in (1, 5):
        total = 0.0
        for seed in range(5):
            model = a_model(seed=seed)
            for source, ids in zip(
                SOURCES, translate(model, SOURCES, beam=beam, alpha=0), strict=True
            ):
                full = [*ids, 0][: search.longest_translation(len(source))]
                total += log_p(model, source, full)
        sums.append(total)
    assert sums[1] > sums[0]


def test_every_search_ends():
    model = a_model()
    with torch.no_grad():
        model.head.bias[0] = -1000.0  # it never says eos
    found = translate(model, SOURCES, beam=2)
    assert [len(ids) for ids in found] == [
        search.longest_translation(len(source)) for source in SOURCES
    ]


def test_modes_stay_as_they_were():
    model = a_model().train()
    translate(model, SOURCES)
    assert model.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam is 0; allowed: an integer >= 1"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"sources": [[]]}, "words of sentence 0 is 0"),
    ],
)
def test_bad_searches_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        translate(a_model(), **{"sources": SOURCES, **options})


def test_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match="pieces; allowed: one with 6"):
        translations(a_model(), corpus())
