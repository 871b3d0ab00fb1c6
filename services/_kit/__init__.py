"""The machinery that every service shares: one rule in one place, with no business word in it.

State changes only in a message handler; everything else only publishes messages
(docs/architecture.md §1). Read ``life`` first, then ``shell``.
"""
