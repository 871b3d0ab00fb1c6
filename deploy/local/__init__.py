"""Kafka and MongoDB without Docker: real servers out of wheels and jars, on loopback only.

``errors`` what goes wrong · ``wheels`` where the programs are · ``jars`` Kafka's class path, pinned
· ``ports`` which ports · ``process`` one server process and its folder · ``servers`` the two
servers · ``infra`` both of them in a terminal (``make infra``).
"""
