"""``python -m services.sandbox``: the bank and the merchant on one port, health on both."""

import contextlib
import os
import socket
import sys

import structlog
import uvicorn

from services._kit import logs
from services._kit.settings import SettingsError
from services.sandbox.app import create_app
from services.sandbox.journal import JournalInUseError
from services.sandbox.settings import Settings

BACKLOG = 2048


def main() -> None:
    try:
        settings = Settings.load(os.environ)
        logs.configure(settings.service, settings.log_level)
        app = create_app(settings)
    except (SettingsError, JournalInUseError) as error:
        sys.exit(f"sandbox: {error}")
    # One application on both addresses, so that one process needs one server.
    addresses = {(settings.host, settings.port), (settings.health_host, settings.health_port)}
    sockets = [_listener(*address) for address in sorted(addresses)]
    structlog.get_logger().info("listening", addresses=[s.getsockname() for s in sockets])
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        # Magic accounts hold their connections for long; nobody should wait for them at the end.
        timeout_graceful_shutdown=1,
        server_header=False,
        proxy_headers=False,
    )
    # Ctrl-C ends the server in good order and is then raised again.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=sockets)


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.create_server((host, port), backlog=BACKLOG)
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    main()
