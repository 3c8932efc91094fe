"""What gates do, over many texts: histograms, and gates over the words of sentences.

`gatebook.record` gives the gates of one pass. Here are the measurements that a claim
such as P1 §4.4 needs: which gates are near 0 or 1, and whether they are small at words
of one kind. Only `Snapshots` keeps the gates themselves; any number of texts can pass
through the others.

======================  ==================================================
`Histogram`             counts of gate values, batch by batch
`Snapshots`             gates and answers of one batch as training goes on
`over_words`            from a decoder's steps to the words that it reads or predicts
`word_classes`          marks, conjunctions, …: the closed classes of English
`auc_within`            are gates smaller at some words than at others of a sentence?
`difference_within`     by how much
`lift`                  how often a class is among the smallest, over its share
`bootstrap`             an interval for the mean over sentences
`permuted`              the same statistic where words have no class
`regression_within`     the same question with other causes held fixed
======================  ==================================================

The statistics take NumPy arrays with one entry per word:

    >>> import numpy as np
    >>> from gatebook import inside
    >>> words = "the sea , and the land".split()
    >>> gates = np.array([0.9, 0.8, 0.1, 0.2, 0.9, 0.7])
    >>> classes = np.array(inside.word_classes(words))
    >>> boundary = np.isin(classes, inside.BOUNDARY)
    >>> inside.auc_within(gates, boundary, np.zeros(6, int))
    array([1.])
"""

from gatebook.inside.histogram import Histogram
from gatebook.inside.snapshots import Snapshots
from gatebook.inside.statistics import (
    Effect,
    auc_within,
    bootstrap,
    difference_within,
    lift,
    permuted,
    regression_within,
)
from gatebook.inside.words import (
    AMBIGUOUS,
    BOUNDARY,
    CLASSES,
    FUNCTION,
    over_words,
    word_classes,
)

__all__ = [
    "AMBIGUOUS",
    "BOUNDARY",
    "CLASSES",
    "FUNCTION",
    "Effect",
    "Histogram",
    "Snapshots",
    "auc_within",
    "bootstrap",
    "difference_within",
    "lift",
    "over_words",
    "permuted",
    "regression_within",
    "word_classes",
]
