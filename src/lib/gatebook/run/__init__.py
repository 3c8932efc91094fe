"""Running pages: discovery, the strict papermill runner, the book, the command line.

Nothing in the library below imports this package.
"""
