"""Messages of the callbacks service."""
