"""The book's pages: their parameters, and how one is run."""
