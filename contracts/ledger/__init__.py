"""Messages of the ledger service."""
