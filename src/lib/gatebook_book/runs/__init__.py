"""Stored runs: the store, the ledger of claims, tables and progress."""
