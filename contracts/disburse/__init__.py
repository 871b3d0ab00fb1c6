"""Messages of the disburse service."""
