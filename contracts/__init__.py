"""The words that the services share: messages, envelope, money, ids, who says what to whom.

A released message never changes, but for a new optional field with a default; anything more is a
new version beside the old one (docs/architecture.md, "Contracts").
"""
