"""Text from a language model, word by word."""

import difflib
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_count
from gatebook.language.corpus import UNK, Corpus
from gatebook.language.model import LanguageModel
from gatebook.modes import evaluating
from gatebook.random import generator


def generate(
    model: LanguageModel,
    corpus: Corpus,
    prompt: str,
    words: int,
    *,
    temperature: float = 1.0,
    seed: int,
) -> str:
    """A prompt and how the model goes on.

    Arguments:
        model: is put into evaluation mode meanwhile.
        corpus: whose vocabulary the model has.
        prompt: begins a line; may be empty.
        words: how many to add, ends of lines among them.
        temperature: a word's probability is taken to the power 1/temperature; 0 takes
            the likeliest word each time.
        seed: of the draws; the same text on each machine, as far as it computes the
            same probabilities.

    Raises:
        ValueError: for a prompt with an unknown word (write ``<unk>`` if you mean
            it), another vocabulary, or a temperature below 0.
    """
    check_count("words", words)
    _check_temperature(temperature)
    _check_vocabulary(model, corpus)
    ids = _encode(corpus, prompt)
    g = generator(seed, "generate")
    device = model.embedding.weight.device
    with evaluating(model):
        read = torch.cat([ids.new_tensor([corpus.eos]), ids])
        out = model(read[:, None].to(device), model.start(1))
        for _ in range(words):
            log_p = model.log_probabilities(out.raw[-1])[0].double().cpu()
            new = _draw(log_p, temperature, g)
            ids = torch.cat([ids, new])
            out = model(new[:, None].to(device), out.state)
    return corpus.decode(ids)


def _draw(
    log_p: Float[Tensor, " V"], temperature: float, g: torch.Generator
) -> Int[Tensor, " 1"]:
    if temperature == 0:
        return log_p.argmax()[None]
    # The highest is 0, so that a small temperature overflows to 0, not to infinity.
    p = ((log_p - log_p.max()) / temperature).softmax(0)
    return torch.multinomial(p, 1, generator=g)


def _encode(corpus: Corpus, prompt: str) -> Int[Tensor, " N"]:
    for word in prompt.split():
        if word != UNK and UNK in corpus.decode(corpus.encode(word)).split():
            near = difflib.get_close_matches(word.lower(), corpus.words, n=3)
            hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise ValueError(
                f"prompt has the word {word!r}, which {corpus.name} does not know; "
                f"{hint}allowed: its {corpus.vocabulary_size:,} words, {UNK} for one "
                "that it does not know"
            )
    return corpus.encode(prompt)


def _check_vocabulary(model: LanguageModel, corpus: Corpus) -> None:
    if model.vocabulary_size != corpus.vocabulary_size:
        raise ValueError(
            f"corpus is {corpus.name!r} with {corpus.vocabulary_size} words; allowed: "
            f"one with {model.vocabulary_size}, as the model has"
        )


def _check_temperature(temperature: float) -> None:
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(
            f"temperature is {temperature!r}; allowed: a finite number >= 0, where 0 "
            "takes the likeliest word each time"
        )
