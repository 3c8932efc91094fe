"""Language models: AWD-LSTM with any gate (P1 §4.2), and P2's model of one layer.

======================  ==================================================
`lines`, `corpus`       texts as words, and as word ids
`model`                 the network and its dropouts
`recipe`, `train`       NT-ASGD with averaged weights, finetuning; Adam
`perplexity`            exact: carried state, every token
`positions`             the loss by a word's position in its article
`cache`                 the continuous cache
`generate`              text from a model
`artefact`              a trained model to publish, with its card
======================  ==================================================
"""
