"""What a running local platform left for the tools of other terminals: ``.local/sandbox.json``."""

import json
import os
from pathlib import Path
from typing import Any

import httpx

from deploy.local import environment as env
from deploy.local.errors import LocalServerError


class NotRunningError(LocalServerError):
    pass


def running(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The sandbox partner's file, and the platform's variables.

    Raises:
        NotRunningError: nothing answers.
    """
    try:
        sandbox = json.loads((folder / "sandbox.json").read_text(encoding="utf-8"))
        variables = env.read(folder / "env")
        httpx.get(f"{sandbox['url']}/livez", timeout=5).raise_for_status()
    except (OSError, ValueError, KeyError, httpx.HTTPError):
        raise NotRunningError("nothing runs: start `make run` in another terminal first") from None
    return sandbox, {**variables, **{k: v for k, v in os.environ.items() if k in variables}}


def tills(sandbox: dict[str, Any]) -> httpx.Client:
    """The sandbox's tills, which hold the demo chain's key; a silent one takes its time."""
    return httpx.Client(base_url=sandbox["sandbox_url"], timeout=120)
