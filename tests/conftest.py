"""Fixtures that every folder of tests may ask for."""

pytest_plugins = [
    "tests.support.servers",
    "tests.support.space",
    "tests.support.whole",
    "tests.support.market",
]
