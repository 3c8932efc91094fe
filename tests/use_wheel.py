"""What a researcher does with the installed library; see test_wheel.py."""

from pathlib import Path

import gatebook
from gatebook import GRU, LSTM, compress, record
from gatebook.language import artefact
from gatebook.language.corpus import from_files
from gatebook.language.model import LanguageModel
from gatebook.language.recipe import Recipe
from gatebook.language.train import fit as fit_text
from gatebook.tasks import Adding
from gatebook.training import Plan, build, fit

here = Path.cwd()
assert "site-packages" in gatebook.__file__, gatebook.__file__
assert gatebook.__version__

task = Adding(length=5)
model = build(task, LSTM, hidden_size=8, seed=1, gate="UR")
plan = Plan(steps=60, evaluate_every=30, learning_rate=0.01)
losses = fit(model, task, plan).curves["loss"]
assert losses[-1] < losses[0], losses

with record(model.rnn) as gates:
    model(task.batch(0)[0])
assert 0 < gates["l0"]["effective_forget"].mean() < 1
small = compress.rounded(GRU(3, 4, gate="UR"), 0.2)
small.save(here / "small")
assert isinstance(compress.load(here / "small"), GRU)

(here / "text").write_text("the ark of noah\nthe rain fell\n" * 60)
corpus = from_files(here / "text")
words = LanguageModel(corpus.vocabulary_size, 5, hidden_size=6, seed=1)
fit_text(words, corpus, Recipe(epochs=1, batch_size=2, bptt=10))
artefact.release(here / "released", words, corpus, {})
assert artefact.read(here / "released", corpus)[1] == corpus.words
print("all of it works")
