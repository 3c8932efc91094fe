"""A small bitext for the tests: numbers as words, and the same words in capitals."""

import functools

import torch
from gatebook.random import generator
from gatebook.translate.bitext import Bitext, made
from gatebook.translate.corpus import Corpus, encoded, learned

WORDS = ("one", "two", "three", "four", "five", "six")


def lines(name: str, count: int) -> tuple[list[str], list[str]]:
    g = generator(0, name)
    source, target = [], []
    for _ in range(count):
        length = int(torch.randint(1, 6, (), generator=g))
        picks = torch.randint(len(WORDS), (length,), generator=g).tolist()
        source.append(" ".join(WORDS[k] for k in picks))
        target.append(" ".join(WORDS[k].upper() for k in picks))
    return source, target


@functools.cache
def bitext() -> Bitext:
    sizes = {"train": 60, "valid": 8, "test": 9}
    return made("numbers", {name: lines(name, n) for name, n in sizes.items()})


@functools.cache
def corpus() -> Corpus:
    return encoded(bitext(), learned(bitext(), merges=200))
