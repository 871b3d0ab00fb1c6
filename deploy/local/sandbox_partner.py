"""The partner and the chain of a local platform: made once through the operators' API, kept in
sandbox.json.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from deploy.local import stack
from deploy.local.errors import LocalServerError

NAME = "demo"
CHAIN, CHAIN_NAME = "demo-mart", "Demo Mart"
SANDBOX_GRANT = 1_000_000_000
_TIMEOUT_S = 20


class SetupError(LocalServerError):
    """The operators' API did not do what the start needs."""


@dataclass(frozen=True)
class Partner:
    """What sandbox.json holds."""

    name: str
    url: str
    key: str
    secret: str
    admin_url: str
    admin_token: str
    sandbox_url: str
    deposit: int
    store_key: str
    store_secret: str

    def curl(self) -> str:
        """A first call, ready to paste."""
        return (
            f"curl -u {self.key}:{self.secret} {self.url}/v1/disbursements \\\n"
            "  -H 'Content-Type: application/json' -H 'Idempotency-Key: first-1' "
            "-H 'Prefer: wait=5' \\\n"
            '  -d \'{"reference": "first-1", "amount": 150000, "currency": "IDR", '
            '"destination": {"type": "bank_account", "bank": "BCA", '
            '"account_number": "0123456789"}}\''
        )


def open_partner(platform: stack.LocalPlatform, *, top_up: int = 0) -> Partner:
    """The partner with its key and a callback endpoint at the demo merchant; made only once.

    Raises:
        SetupError: names what was refused.
    """
    path = platform.folder / "sandbox.json"
    with httpx.Client(
        base_url=platform.admin_url,
        headers={"Authorization": f"Bearer {platform.variables['SALUR_GATEWAY_ADMIN_TOKEN']}"},
        timeout=_TIMEOUT_S,
    ) as admin:
        kept = _kept(path)
        found = _known(admin, kept, f"partners/{NAME}", "") or _made(admin)
        stores = _known(admin, kept, f"chains/{CHAIN}", "store_") or _made_chain(admin)
        if top_up:
            body = {"amount": top_up, "external_reference": "extra"}
            _post(admin, f"/admin/partners/{NAME}/sandbox/top-ups", body)
        _endpoint(platform, admin)
    partner = Partner(
        name=NAME,
        url=platform.url,
        key=found["key"],
        secret=found["secret"],
        admin_url=platform.admin_url,
        admin_token=platform.variables["SALUR_GATEWAY_ADMIN_TOKEN"],
        sandbox_url=platform.sandbox_url,
        deposit=SANDBOX_GRANT,
        store_key=stores["key"],
        store_secret=stores["secret"],
    )
    _tills(partner)
    _write(path, partner)
    return partner


def _kept(path: Path) -> dict[str, str]:
    """What an earlier run wrote."""
    try:
        kept: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept


def _known(
    admin: httpx.Client, kept: dict[str, str], owner: str, prefix: str
) -> dict[str, str] | None:
    """The key of an earlier run, if the gateway still knows it."""
    key, secret = kept.get(f"{prefix}key"), kept.get(f"{prefix}secret")
    answer = admin.get(f"/admin/{owner}/sandbox/keys")
    keys = answer.json()["data"] if answer.status_code == httpx.codes.OK else []
    if key is None or secret is None or not any(one["key"] == key for one in keys):
        return None
    return {"key": key, "secret": secret}


def _made(admin: httpx.Client) -> dict[str, str]:
    _post(admin, "/admin/partners", {"id": NAME, "name": "Demo merchant"})
    key = _post(admin, f"/admin/partners/{NAME}/sandbox/keys", {"label": "made by make run"})
    return {"key": key["key"], "secret": key["secret"]}


def _made_chain(admin: httpx.Client) -> dict[str, str]:
    chain = {"id": CHAIN, "name": CHAIN_NAME, "label": "made by make run"}
    key = _post(admin, "/admin/chains", chain)
    return {"key": key["key"], "secret": key["secret"]}


def _endpoint(platform: stack.LocalPlatform, admin: httpx.Client) -> None:
    """One endpoint at the demo merchant of this run's port; the merchant learns its secret."""
    url = f"{platform.sandbox_url}/merchant/callbacks"
    base = f"/admin/partners/{NAME}/sandbox/endpoints"
    known = admin.get(base).json()["data"]
    if any(one["url"] == url for one in known):
        return
    made = _post(admin, base, {"url": url, "events": ["*"]})
    answer = httpx.put(
        f"{platform.sandbox_url}/merchant/secrets/{made['endpoint']}",
        json={"secret": made["secret"]},
        timeout=_TIMEOUT_S,
    )
    if not answer.is_success:
        raise SetupError(f"the demo merchant refused its secret: {answer.text}")


def _tills(partner: Partner) -> None:
    """The sandbox's tills stand in the chain's stores."""
    key = {"url": partner.url, "key": partner.store_key, "secret": partner.store_secret}
    answer = httpx.put(f"{partner.sandbox_url}/till/credentials", json=key, timeout=_TIMEOUT_S)
    if not answer.is_success:
        raise SetupError(f"the tills refused their key: {answer.text}")


def _post(admin: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = admin.post(path, json=body)
    if not answer.is_success:
        raise SetupError(f"{path} answered {answer.status_code}: {answer.text}")
    done: dict[str, Any] = answer.json()
    return done


def _write(path: Path, partner: Partner) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(partner), file, indent=2)
        file.write("\n")
    fresh.replace(path)
