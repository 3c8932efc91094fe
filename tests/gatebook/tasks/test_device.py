"""Tasks: their batches are on the CPU, and decided by integers."""

from dataclasses import replace

import pytest
import torch
from gatebook.language.model import LanguageModel
from gatebook.match import Episodes, Labelled, Match
from gatebook.tasks import Adding, Copy, Parity, Programs, Recall, SelectiveCopy
from gatebook.translate.model import Translator

TASKS = [
    Adding(6, 4),
    Copy(5, 4),
    Copy(5, 4, form="scalar", pool=10),
    SelectiveCopy(5, 4),
    Recall(batch_size=4),
    Parity(5, 8, 4),
    Programs(batch_size=4),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_another_default_device_changes_no_batch(task):
    wanted = task.batch(3)
    with torch.device("meta"):
        found = task.batch(3)
    assert all(map(torch.equal, found, wanted))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_seeds_and_steps_are_integers(task, unchecked):
    for bad in (0.0, None, torch.tensor(0)):
        with pytest.raises(TypeError, match="seed is .*; allowed: an integer"):
            replace(task, seed=bad)
        with pytest.raises(TypeError, match="step is .*; allowed: an integer"):
            task.batch(bad)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: Episodes(Match(), 2, seed),
        lambda seed: Labelled(Match(), seed=seed),
        lambda seed: LanguageModel(5, 2, 2, seed=seed),
        lambda seed: Translator(5, 2, 2, seed=seed),
    ],
)
def test_seeds_of_models_and_worlds_are_integers(make, unchecked):
    with pytest.raises(TypeError, match="seed is 0.0; allowed: an integer"):
        make(0.0)
