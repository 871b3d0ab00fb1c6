"""disburse owns the life of a disbursement, from the request to the bank's last word.

It hears ``disburse.commands``, and of ``ledger.events`` only the answers to its own holds. It says
``disburse.events``, asks the ledger to hold, settle, release and return, and is the only service
that speaks to banks (``rails/``). Read ``domain`` for the life's table, ``errands`` for how money
is sent, ``admin`` for what a person can do.
"""
