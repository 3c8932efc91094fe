"""Language modelling: texts, models of words, and their perplexity."""
