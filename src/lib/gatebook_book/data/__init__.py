"""Images and texts, checked against the registry of data sets."""
