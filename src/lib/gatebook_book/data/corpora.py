"""The texts of the language pages as numbers, from the first source at hand."""

import functools
from dataclasses import replace

from gatebook.errors import DataError
from gatebook.language.corpus import Corpus, numbered

from gatebook_book.data import sources
from gatebook_book.data.texts import read


@functools.cache
def corpus(name: str = "kjv", source: str = "auto") -> Corpus:
    """A text from the first source at hand, loaded once.

    Arguments:
        name: ``"kjv"`` is the King James Version, which a package carries: a verse a
            line, whole books in each part, the words that training meets once as
            ``<unk>``. ``"ptb"`` (Mikolov's split), ``"wikitext-2"`` and
            ``"wikitext-103"`` come with their own ``<unk>``.
        source: ``"auto"``, or one of the text's own: ``"embedded"`` (kjv),
            ``"folder"`` under ``$GATEBOOK_DATA`` (ptb, wikitext-2), ``"hub"`` (all
            but kjv).

    Raises:
        DataError: if the source is not there or not what the registry says. A
            source that is there but wrong is never skipped in silence.
    """
    parts, place = read(name, source)
    entry = sources.registry()[name]
    made = numbered(name, parts, place, entry.get("least", 1))
    if made.vocabulary_size != entry["vocabulary"]:
        raise DataError(
            f"{name} has a vocabulary of {made.vocabulary_size}; allowed: "
            f"{entry['vocabulary']}"
        )
    return replace(made, title=entry["title"], licence=entry["licence"])
