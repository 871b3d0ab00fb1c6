"""The services of Salur; each owns its own database and speaks to the others in events."""
