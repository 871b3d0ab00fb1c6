"""An append-only file of JSON lines; what is in it outlives a killed process."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class JournalInUseError(Exception):
    """Another process writes this journal; two would not see each other's references."""


class Journal:
    """One line per fact, in the order of happening.

    A line is in the kernel's hands when ``append`` returns, so it survives SIGKILL; it is not
    synced to disk, so it may not survive a power cut. The file belongs to one process at a time.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalInUseError(
                f"{path} is written by another process; stop it first"
            ) from None
        self._drop_torn_line()

    def lines(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            for line in file:
                yield orjson.loads(line)

    def append(self, fact: dict[str, Any]) -> None:
        line = orjson.dumps(fact, option=orjson.OPT_APPEND_NEWLINE)
        written = os.write(self._file, line)
        # A full disk must stop the bank before it answers for something that it will forget.
        if written != len(line):
            raise OSError(f"{self._path}: only {written} of {len(line)} bytes written")

    def close(self) -> None:
        os.close(self._file)

    def _drop_torn_line(self) -> None:
        """A process that died in the middle of a write had not answered yet."""
        size = os.fstat(self._file).st_size
        end = size
        while end > 0 and os.pread(self._file, 1, end - 1) != b"\n":
            end -= 1
        if end < size:
            os.ftruncate(self._file, end)
