"""The site: which pages are stale, how it is built, mended and published."""
