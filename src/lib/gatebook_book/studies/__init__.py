"""What the pages run: models trained on tasks and texts, measured and stored."""
