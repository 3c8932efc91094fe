"""What pages say of a translator's gates, on a tiny one."""

import re

import numpy as np
import pytest
import torch
from gatebook import inside
from gatebook.compress import Round
from gatebook.training import History
from gatebook.translate.model import Translator
from gatebook_book.runs.claims import claims
from gatebook_book.studies import compressed_translation
from gatebook_book.studies.inside import (
    figure_four,
    histograms,
    look_inside,
    measure,
    read_words,
    unit_forgets,
)
from gatebook_book.studies.translation import point
from gatebook_book.tasks.stories import notes

QUOTED = re.compile(r'"\w+", "([^"]+)"')


@pytest.fixture(scope="module")
def corpus():
    return notes((60, 5, 20), statements=4, kept=2)


@pytest.fixture
def translator(corpus):
    def build(gate="LSTM0", **options):
        sizes = (corpus.subwords.size, 8, 8)
        return Translator(*sizes, gate=gate, **options)

    return build


def named(page):
    """The metrics that the rules of a page's claims name."""
    for claim in claims(page):
        rules = " ".join(filter(None, [claim.reproduced, claim.partly]))
        names = [claim.metric, *QUOTED.findall(" ".join(rules.split()))]
        yield from (name for name in names if name)


def test_every_figure_of_the_claims_is_measured(translator, corpus):
    found = look_inside(translator("G2"), corpus)
    assert set(named("inside/gates")) <= found["metrics"].keys()
    rows = {(r["layer"], r["gate"], r["alignment"], r["class"]) for r in found["words"]}
    assert len(rows) == len(found["words"]) == 2 * 2 * 2 * 11


def test_every_figure_of_the_compression_is_measured(translator, corpus):
    found = compressed_translation.falls(translator(), corpus, count=2)
    metrics = found["metrics"]
    assert set(named("compression/translation")) <= metrics.keys()
    assert metrics["fall original"] == metrics["zeros original"] == 0


def test_a_step_relative_to_the_weights_does_not_depend_on_their_scale(translator):
    model = translator()
    weights = compressed_translation.gate_weights(model)
    before = compressed_translation.variants(model)["round-sd"][0].scheme
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 3
    after = compressed_translation.variants(model)["round-sd"][0].scheme
    assert isinstance(before, Round) and isinstance(after, Round)
    assert after.step == pytest.approx(3 * before.step) != before.step
    assert before.step == pytest.approx(weights.std().item())


def test_a_diverged_run_has_no_figures(translator, corpus):
    one, history = point("LSTM0", 0, corpus, updates=1), History(diverged_at=1)
    assert measure(translator(), one, history)["metrics"] == {}
    assert compressed_translation.measure(translator(), one, history)["rows"] == []


def test_words_have_the_gates_of_the_steps_beside_them(translator, corpus):
    model = translator()
    words = read_words(model, corpus)
    (one,) = figure_four(model, corpus, [7])
    steps = torch.tensor(one["gates"]["forget 1"])[:, None]
    kept = [k for k in range(1, len(one["words"])) if one["classes"][k] != "final mark"]
    mine = words.sentence == 7
    for alignment in ("read", "predicted"):
        wanted = inside.over_words(steps, one["word_of"], alignment)[kept, 0]
        found = words.gates["1", "forget", alignment][mine]
        np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert [one["words"][k] for k in kept] == np.array(words.texts)[mine].tolist()


def test_padding_is_not_counted(translator, corpus):
    model = translator(dropout=0.0)
    counted = histograms(model, corpus.train)["1", "forget"]
    steps = sum(map(len, corpus.train.target))
    assert counted.total == 8 * steps
    ones = [
        histograms(model, one)["1", "forget"].counts
        for one in (corpus.train.first(k + 1) for k in range(2))
    ]
    assert ones[1].sum() > ones[0].sum()
    units = unit_forgets(model, corpus.train)
    assert np.mean(units["decoder 1"]) == pytest.approx(counted.mean, abs=1e-6)


def test_noise_acts_in_training_mode_alone_and_the_mode_stays(translator, corpus):
    pairs = corpus.train.first(20)
    for gate, same in (("LSTM0", True), ("G2", False)):
        model = translator(gate, dropout=0.0).train()
        use = histograms(model, pairs)["1", "forget"].counts
        noisy = histograms(model, pairs, training=True)["1", "forget"].counts
        assert torch.equal(use, noisy) == same
        assert model.training
