"""Making the runs that the ledger lacks, the most valuable first, within a budget."""
