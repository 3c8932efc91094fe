"""What makes the book: data, runs, pages, sweeps, figures, widgets and the site.

The library that a model imports is `gatebook`; nothing there needs this package.
"""
