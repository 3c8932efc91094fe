"""Tasks make their batches on the CPU, whatever torch's default device is."""

import pytest
import torch
from gatebook.tasks import Adding, Copy, Parity, Programs, Recall, SelectiveCopy

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
