"""Callbacks: tells partners over HTTP what happened to their money.

Owns endpoints, deliveries and their attempts. Hears the ends of disbursements from
``disburse.events``, credited deposits from ``ledger.events``, and ``callbacks.commands``. Says
``callbacks.events``. Its errands are the only calls to merchants: one lane for each endpoint, so
that a dead one never delays the others.
"""
