"""A task's description distinguishes it from every task that gives other numbers."""

import dataclasses

import pytest
from gatebook.tasks import Adding, Copy, Parity, Recall, SelectiveCopy, Task
from gatebook_book.tasks import Pixels

SMALL = Pixels(pool=4, source="embedded", train_size=1000, validation_size=100)
OTHER = {
    Adding(5): {"length": 6, "batch_size": 5, "validation_size": 9},
    Copy(5): {
        "length": 6,
        "batch_size": 5,
        "form": "scalar",
        "pool": 50,
        "validation_size": 9,
    },
    SelectiveCopy(5): {"length": 6, "batch_size": 5, "validation_size": 9},
    Recall(): {
        "pairs": 7,
        "length": 47,
        "vocabulary_size": 62,
        "batch_size": 5,
        "validation_size": 9,
    },
    Parity(5, 9): {"length": 6, "longer": 8, "batch_size": 5, "validation_size": 9},
    SMALL: {
        "order": "seeded",
        "pool": 2,
        "batch_size": 5,
        "train_size": 900,
        "validation_share": 0.2,
        "validation_size": 90,
        "images": "cifar10",
    },
}
CASES = [(task, {k: v}) for task, fields in OTHER.items() for k, v in fields.items()]


@pytest.mark.parametrize(("task", "change"), CASES)
def test_every_field_that_decides_numbers_is_in_the_description(task, change):
    assert dataclasses.replace(task, **change).describe() != task.describe()


@pytest.mark.parametrize("task", OTHER)
def test_no_field_is_left_out_here(task):
    assert isinstance(task, Task)
    fields = {field.name for field in dataclasses.fields(task)}
    assert fields == set(OTHER[task]) | {"seed"} | (fields & {"source"})


def test_a_limit_that_cuts_nothing_makes_no_other_task():
    whole = Pixels(pool=4, source="embedded")
    same = dataclasses.replace(whole, train_size=10**6, validation_size=10**6)
    assert same.describe() == whole.describe()
    assert whole.describe()["validation_size"] == 667
