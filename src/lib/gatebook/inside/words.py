"""Which words a decoder's gates belong to, and the closed classes of English words."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_choice

ALIGNMENTS = ("read", "predicted")


def over_words(
    gate: Float[Tensor, "T H"],
    word_of: Sequence[int],
    alignment: str = "read",
) -> Float[Tensor, "W H"]:
    """A gate's values over the words of one sentence, each the mean over its pieces.

    A decoder reads y_0, …, y_{n-1} and predicts y_0, …, y_{n-1} and the end. At its
    step 0 it reads a start symbol, so that step t reads piece t - 1 and predicts piece
    t. P1's Figure 4 does not say which of the two words a value belongs to.

    In the alignment ``"predicted"`` the first word begins at step 0, where there is no
    state to forget: leave it out under both alignments to compare them.

    Arguments:
        gate: T = n + 1 steps of H units, the last one after the last piece.
        word_of: for each of the n pieces the number of its word: 0, 0, 1, …
        alignment: ``"read"`` or ``"predicted"``.

    Raises:
        ValueError: for another number of steps, or words that are not in order.

    Example:
        >>> steps = torch.tensor([[0.0], [0.25], [0.5], [1.0]])
        >>> over_words(steps, [0, 0, 1]).flatten().tolist()  # "wind" "s" and "."
        [0.375, 1.0]
    """
    check_choice("alignment", alignment, ALIGNMENTS)
    words = torch.as_tensor(list(word_of), dtype=torch.long)
    if len(gate) != len(words) + 1:
        raise ValueError(
            f"gate has {len(gate)} steps; allowed: {len(words) + 1}, one more than "
            "word_of has pieces"
        )
    jumps = words.diff(prepend=torch.tensor([-1]))
    if len(words) == 0 or jumps[0] != 1 or not ((jumps == 0) | (jumps == 1)).all():
        raise ValueError(
            f"word_of is {list(word_of)!r:.60}; allowed: 0, then each number the one "
            "before it or the next"
        )
    first = 1 if alignment == "read" else 0
    steps = gate[first : first + len(words)]
    sums = gate.new_zeros(int(words[-1]) + 1, gate.shape[1])
    sums.index_add_(0, words.to(gate.device), steps)
    return sums / words.bincount().to(gate.device)[:, None]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CLASSES: dict[str, frozenset[str]] = {
    "mark": _words(", ; : . ! ? - -- ( ) [ ] \" ' ` `` ''"),
    "coordinator": _words("and or but nor yet"),
    "subordinator": _words(
        "that if because when while as than though although unless until till since "
        "before after where whereas wherefore whether lest who whom whose which what"
    ),
    "preposition": _words(
        "of in to for with on by from at into upon unto among amongst between through "
        "against under over above below about around behind beside besides beneath "
        "beyond near off onto out toward towards within without during down up across "
        "along inside outside like per"
    ),
    "determiner": _words(
        "the a an this these those every each all any some no both either neither "
        "another such my thy his her its our your their 's"
    ),
    "pronoun": _words(
        "i me thou thee ye you he him she it we us they them mine thine hers ours "
        "yours theirs myself thyself himself herself itself ourselves yourselves "
        "themselves"
    ),
    "auxiliary": _words(
        "be am art is are was wast wert were been being have hast hath has had hadst "
        "having do dost doth does did didst shall shalt will wilt would wouldest "
        "should shouldest may mayest might mightest can canst could couldest must "
        "not n't"
    ),
}
"""The closed classes of English, of the Bible of 1901 as of today.

A word is in one of them, the one that is its most frequent; see `AMBIGUOUS`.
"""

BOUNDARY = ("mark", "coordinator", "subordinator")
"""What can stand between two clauses."""

FUNCTION = (*CLASSES,)
"""All classes but ``"final mark"`` and ``"content"``: P1's "function words"."""

AMBIGUOUS = _words(
    "that as than before after since until till what for like her to yet"
)
"""Words that belong to two classes, such as *that*, a conjunction or a pronoun."""

_CLASS_OF = {word: name for name, words in CLASSES.items() for word in words}


def word_classes(words: Sequence[str]) -> list[str]:
    """The class of each word of a sentence.

    Marks at the end of the sentence are ``"final mark"``: nothing follows them that a
    gate could keep something for. A word of no class is ``"content"``.

    Example:
        >>> word_classes(["he", "came", ",", "and", "saw", "."])
        ['pronoun', 'content', 'mark', 'coordinator', 'content', 'final mark']
    """
    found = [_CLASS_OF.get(word.lower(), "content") for word in words]
    for place in range(len(found) - 1, -1, -1):
        if found[place] != "mark":
            break
        found[place] = "final mark"
    return found
