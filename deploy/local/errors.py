"""What goes wrong with the local servers; each text names its remedy.

LocalServerError
├── WheelMissingError    this platform has no wheel with the program
├── JarRefusedError      a jar is not the one that was pinned
├── JarUnavailableError  a jar could not be fetched
├── FolderInUseError     another run owns the data folder
├── NoFreePortsError     no block of ports is free
└── ServerFailedError    a server ended, or did not answer in time
"""

from pathlib import Path

TWO_WAYS_OUT = (
    "Two ways out: `make up` starts everything with Docker; or set KAFKA_URL and MONGO_URL "
    "to servers that run already."
)


class LocalServerError(Exception):
    """Base of all below."""


class WheelMissingError(LocalServerError):
    def __init__(self, program: str, wheel: str, reason: str) -> None:
        super().__init__(
            f"{program} is not there: {reason}. It comes from the wheel {wheel} "
            f"(requirements/local.txt). {TWO_WAYS_OUT}"
        )


class JarRefusedError(LocalServerError):
    pass


class JarUnavailableError(LocalServerError):
    pass


class FolderInUseError(LocalServerError):
    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(
            f"{folder} is in use by process {owner or 'unknown'}, which runs the server in it. "
            "Stop that run (Ctrl-C in its terminal), or use its URLs."
        )


class NoFreePortsError(LocalServerError):
    pass


class ServerFailedError(LocalServerError):
    def __init__(self, name: str, what: str, log: Path, tail: str) -> None:
        super().__init__(f"{name} {what}. The end of {log}:\n{tail or '(empty)'}")
