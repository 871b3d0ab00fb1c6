"""The words of the cash-out service, and what its speakers must compute alike (``keys``)."""
