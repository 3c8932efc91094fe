"""Translation with any gate (P1 §4.1.2): from pairs of lines to a model that speaks.

======================  ==================================================
`bitext`, `words`       pairs of lines, and how lines become words
`subwords`, `corpus`    pieces of words, one table for both languages; ids
`batches`               sentences of one length side by side
`model`, `paper`        two networks: a fast one, and that of P1's code
`recipe`, `train`       a fixed number of updates
`search`                beam search
`scores`, `judge`       BLEU, chrF, the paired bootstrap
`gates`                 what the decoder's gates do, word by word
`artefact`              a trained model to publish, and to translate with
======================  ==================================================

It needs the extra ``gatebook[translate]``: tokenizers, and for BLEU sacrebleu.
"""
