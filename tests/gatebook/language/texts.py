"""Small texts for tests."""

import torch
from gatebook.language.corpus import Corpus

WORDS = ("<eos>", "<unk>", *"abcdefghijklmnopqr")


def small(train=1200, part=90, seed=0, name="text"):
    """A text in which each letter tends to be followed by the next one."""
    g = torch.Generator().manual_seed(seed)
    jumps = torch.randint(0, 3, (train + 2 * part,), generator=g)
    ids = (jumps.cumsum(0) % len(WORDS)).to(torch.int64)
    cut = ids.split([train, part, part])
    return Corpus(name, *(c.clone() for c in cut), words=WORDS, source="a test's")
