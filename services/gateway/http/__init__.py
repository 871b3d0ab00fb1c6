"""What the outside world may ask: one file for each thing that it asks about."""
