"""Many points of one page at a time, on all cores or on a cluster."""
