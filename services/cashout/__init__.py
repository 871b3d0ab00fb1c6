"""cashout owns the life of a cash-out code, and what stores were answered about it.

It hears ``cashout.commands``, and of ``ledger.events`` only the answers to its own holds. It says
``cashout.events`` (lives, and answers to stores) and asks the ledger to hold, settle, release and
return. Read ``domain`` for the life's table, ``tills`` for the thirty seconds of a store's request
and for guessed codes, ``codes`` for how a code is made and recognised.
"""
