"""Text from a language model, word by word."""

import difflib

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_count, check_integer, check_not_negative
from gatebook.language.corpus import UNK, Corpus
from gatebook.language.model import LanguageModel
from gatebook.language.reading import check_vocabulary
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
    """A prompt and the model's continuation.

    Arguments:
        model: is put into evaluation mode meanwhile.
        corpus: whose vocabulary the model has.
        prompt: begins a line; may be empty. Read as `Corpus.encode` does.
        words: how many to add, including ends of lines.
        temperature: a word's probability is taken to the power 1/temperature; 0 takes
            the likeliest word each time.
        seed: of the draws; machines that compute the same probabilities give the same
            text.

    Raises:
        ValueError: for a prompt with an unknown word (write ``<unk>`` if you mean
            it), another vocabulary, a temperature that is negative, not finite or not
            a number, or a model whose probabilities are NaN.
    """
    check_count("words", words)
    check_not_negative("temperature", temperature)
    check_integer("seed", seed)
    check_vocabulary(model, corpus)
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


def _near(word: str, known: tuple[str, ...]) -> list[str]:
    """Words that are written much like one, in upper or lower case."""
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=3)
    return [folded[name] for name in close]


def _draw(
    log_p: Float[Tensor, " V"], temperature: float, g: torch.Generator
) -> Int[Tensor, " 1"]:
    if log_p.isnan().any():
        raise ValueError(
            "model gives words a probability of NaN; allowed: weights that are finite"
        )
    if temperature == 0:
        return log_p.argmax()[None]
    # The highest is 0, so that a small temperature overflows to 0, not to infinity.
    p = ((log_p - log_p.max()) / temperature).softmax(0)
    return torch.multinomial(p, 1, generator=g)


def _encode(corpus: Corpus, prompt: str) -> Int[Tensor, " N"]:
    for word in prompt.split():
        if word != UNK and UNK in corpus.decode(corpus.encode(word)).split():
            near = _near(word, corpus.words)
            hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
            raise ValueError(
                f"prompt has the word {word!r}, which {corpus.name} does not know; "
                f"{hint}allowed: its {corpus.vocabulary_size:,} words, {UNK} for one "
                "that it does not know"
            )
    return corpus.encode(prompt)
