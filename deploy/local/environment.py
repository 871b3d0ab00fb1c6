"""What the services of a local platform are told: addresses, secrets and rails.

Secrets are made once and kept in ``<folder>/secrets`` (mode 0600), so that a second start opens
what the first one sealed. The whole environment is written to ``<folder>/env`` for tools.
"""

import json
import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.sealed import new_key
from services.sandbox.keys import make_keys

LOOPBACK = "127.0.0.1"
# Places in the block of ports (deploy.local.ports holds those of the servers).
GATEWAY, ADMIN, SANDBOX, HEALTH = 0, 1, 10, 20
RAIL = "sandbox"
# Variables that speak to ``make`` targets, not to a service.
OF_THE_TOOLS = {"SALUR_PORT_BASE", "SALUR_LOCAL_DIR"}


@dataclass(frozen=True, slots=True)
class Choices:
    """What may differ between a demo, a test and a benchmark. ``overrides`` are variables."""

    partitions: int = 4
    bank_call_timeout_s: float = 5
    bank_token_timeout_s: float = 5
    bank_concurrency: int = 100
    not_found_after_s: float = 1200
    bank_latency_ms: float = 20
    overrides: Mapping[str, str] = field(default_factory=dict)


def own_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings of services that the caller's shell names: they win over what a platform chooses."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("SALUR_") and name not in OF_THE_TOOLS
    }


def environment(
    folder: Path, base: int, urls: Mapping[str, str], choices: Choices
) -> dict[str, str]:
    """Every variable of a local platform, secrets included; also written to ``folder/env``."""
    keys = make_keys(folder / "secrets" / "bank")
    own = {
        name: _once(folder / "secrets" / name, make)
        for name, make in (
            ("seal_key", new_key),
            ("callback_seal_key", new_key),
            ("phone_key", new_key),
            ("code_key", new_key),
            ("admin_token", lambda: secrets.token_urlsafe(32)),
        )
    }
    rail = {
        "name": RAIL,
        "kind": "snap",
        "environments": ["sandbox"],
        "base_url": f"http://{LOOPBACK}:{base + SANDBOX}/bank",
        "client_id": keys["client_id"].read_text(encoding="ascii"),
        "client_secret": keys["client_secret"].read_text(encoding="ascii"),
        "private_key": str(keys["client_private.pem"]),
        "bank_public_key": str(keys["bank_public.pem"]),
        "partner_id": "SALUR",
        "channel_id": "95221",
        "bank_bic": "CENAIDJA",
        "source_account": "1020304050",
        "dedupes_reference": True,
        "concurrency": choices.bank_concurrency,
        "call_timeout_s": choices.bank_call_timeout_s,
        "token_timeout_s": choices.bank_token_timeout_s,
        "not_found_after_s": choices.not_found_after_s,
    }
    variables = {
        **urls,
        "SALUR_SEAL_KEY": own["seal_key"],
        "SALUR_CALLBACK_SEAL_KEY": own["callback_seal_key"],
        "SALUR_PHONE_KEY": own["phone_key"],
        "SALUR_LOG_LEVEL": "INFO",
        "SALUR_TOPIC_PARTITIONS": str(choices.partitions),
        "SALUR_TOPIC_REPLICATION": "1",
        "SALUR_GATEWAY_PORT": str(base + GATEWAY),
        "SALUR_GATEWAY_ADMIN_PORT": str(base + ADMIN),
        "SALUR_GATEWAY_ADMIN_TOKEN": own["admin_token"],
        "SALUR_GATEWAY_BANK_PUBLIC_KEYS": json.dumps({RAIL: str(keys["bank_public.pem"])}),
        "SALUR_CASHOUT_CODE_KEY": own["code_key"],
        "SALUR_DISBURSE_RAILS": json.dumps([rail]),
        "SALUR_CALLBACKS_ALLOW_PRIVATE_ADDRESSES": "true",
        "SALUR_SANDBOX_PORT": str(base + SANDBOX),
        "SALUR_SANDBOX_DATA_DIR": str(folder / "bank"),
        "SALUR_SANDBOX_CLIENT_ID": rail["client_id"],
        "SALUR_SANDBOX_CLIENT_SECRET_FILE": str(keys["client_secret"]),
        "SALUR_SANDBOX_CLIENT_PUBLIC_KEY_FILE": str(keys["client_public.pem"]),
        "SALUR_SANDBOX_BANK_PRIVATE_KEY_FILE": str(keys["bank_private.pem"]),
        "SALUR_SANDBOX_NOTIFY_URL": f"http://{LOOPBACK}:{base + GATEWAY}",
        "SALUR_SANDBOX_LATENCY_MS": str(choices.bank_latency_ms),
        **choices.overrides,
    }
    text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
    _write(folder / "env", text)
    return {name: str(value) for name, value in variables.items()}


def for_service(variables: Mapping[str, str], service: str) -> dict[str, str]:
    """The shared variables and a service's own; nobody is handed another's secrets."""
    others = {"LEDGER", "DISBURSE", "CALLBACKS", "GATEWAY", "SANDBOX", "CASHOUT"}
    others.discard(service.upper())
    seals = {
        "SALUR_SEAL_KEY": {"gateway", "disburse", "cashout"},
        "SALUR_CALLBACK_SEAL_KEY": {"gateway", "callbacks"},
        "SALUR_PHONE_KEY": {"gateway"},
    }
    return {
        name: value
        for name, value in variables.items()
        if not any(name.startswith(f"SALUR_{other}_") for other in others)
        and service in seals.get(name, {service})
    }


def read(path: Path) -> dict[str, str]:
    """The variables that ``environment`` wrote."""
    pairs = (
        shlex.split(line)[0].partition("=")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line
    )
    return {name: value for name, _, value in pairs}


def _once(path: Path, make: object) -> str:
    if not path.exists():
        assert callable(make)
        _write(path, str(make()))
    return path.read_text(encoding="ascii")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
