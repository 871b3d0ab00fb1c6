"""A play bank, a store's tills and a demo merchant: strangers that behave and misbehave.

It owns nothing that matters and is never deployed to production. It hears and says HTTP only and
imports nothing but the kit's settings, logs and health, so that each signature is checked by code
that was not written beside the code that signs.

* ``bank`` is a SNAP BI bank under ``/bank``; ``magic`` lists the accounts that misbehave.
* ``merchant`` receives Standard Webhooks under ``/merchant``, checks them and shows what came.
* ``till`` is a store's tills under ``/till``, which redeem codes, fall silent and reverse;
  ``till_cashier`` has what they do, ``till_line`` signs, ``till_rolls`` remembers.
* ``keys`` makes the bank's client id, secret and key pairs once.

What the bank executed or refused, what the merchant received and what the tills asked are in
journals on disk, because a bank that forgets a payment when it is killed could not prove that
nothing was paid twice, and a till that forgets what it asked would never take it back.
"""
