"""Tasks made from data sets."""

from gatebook_book.tasks.pixels import Pixels

__all__ = ["Pixels"]
