"""``python -m services.sandbox.keys <folder>``: the bank's client and both key pairs, made once.

What exists is kept, so that a second start signs with the same keys. The client's private key is
for the platform (tokens), the bank's private key for the sandbox (return notices); each side gets
the other's public key.
"""

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

FILES = (
    "client_id",
    "client_secret",
    "client_private.pem",
    "client_public.pem",
    "bank_private.pem",
    "bank_public.pem",
)


def make_keys(folder: Path) -> dict[str, Path]:
    """Make what is missing; give the path of each file by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    _once(folder / "client_id", _client_id)
    _once(folder / "client_secret", _client_secret)
    for owner in ("client", "bank"):
        private = folder / f"{owner}_private.pem"
        _once(private, _private_pem)
        # Always derived, so that a pair can never be of two halves.
        _write(folder / f"{owner}_public.pem", _public_pem(private.read_bytes()))
    return {name: folder / name for name in FILES}


def _once(path: Path, make: Callable[[], bytes]) -> None:
    if not path.exists():
        _write(path, make())


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def _client_id() -> bytes:
    return f"salur-{secrets.token_hex(6)}".encode()


def _client_secret() -> bytes:
    return secrets.token_urlsafe(48).encode()


def _private_pem() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public_pem(private: bytes) -> bytes:
    key = serialization.load_pem_private_key(private, password=None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program's name and the folder
        sys.exit("usage: python -m services.sandbox.keys <folder>")
    for path in make_keys(Path(sys.argv[1])).values():
        sys.stdout.write(f"{path}\n")
