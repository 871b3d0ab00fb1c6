"""Following a log that may be begun anew."""

from collections.abc import Iterator
from pathlib import Path

_WIDTH = 9


class Follower:
    """The lines that a log file gains, each with the service's name before it."""

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        self._inode = 0
        self._position = 0
        self._rest = ""

    def lines(self) -> Iterator[str]:
        """What came since the last call; a line that is not yet whole waits."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return
        if stat.st_ino != self._inode or stat.st_size < self._position:
            self._inode, self._position, self._rest = stat.st_ino, 0, ""
        if stat.st_size == self._position:
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        self._position += len(new)
        *whole, self._rest = (self._rest + new.decode(errors="replace")).split("\n")
        for line in whole:
            yield f"{self._name:<{_WIDTH}} {line}"
