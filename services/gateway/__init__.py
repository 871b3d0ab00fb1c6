"""gateway owns partners, their keys and allow-lists, remembered requests and read views.

It hears HTTP (partners, operators, banks) and all events: to fill its views, and to wake requests
that wait for an answer. It says commands and moves no money: what it knows by itself (shape,
limits, an unknown bank, a key, a reference) is refused here and never reaches Kafka. Read
``http/disbursements`` for the walk of a request, ``views`` and ``tail`` for how it is answered.
"""
