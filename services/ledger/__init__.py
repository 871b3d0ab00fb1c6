"""The ledger: the only service that moves money.

It owns accounts, their terms, their holds and the journal. It hears ``ledger.commands``, keyed by
account, so that each account has one writer; and it says ``ledger.events``, each with the number
of the account's entry that it speaks of.

Rooms: ``state`` what is kept, ``domain`` the tables, ``moves`` the entries, ``invariants`` what
must hold before anything is written, ``audit`` the same again from the journal alone.
"""
