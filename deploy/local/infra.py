"""``make infra``: Kafka and MongoDB in a terminal, with their data in ``.local/``.

Progress goes to stderr; stdout gets the two URLs as lines for a shell. Ctrl-C stops both.
"""

import os
import signal
import sys
import time
from pathlib import Path

from deploy.local import ports
from deploy.local.errors import LocalServerError
from deploy.local.servers import LocalServers

FOLDER = Path(__file__).parents[2] / ".local"

_WATCH_S = 0.5


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to stay
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        return _run()
    except LocalServerError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 0


def _run() -> int:
    places = (ports.KAFKA, ports.KAFKA_CONTROLLER, ports.MONGO)
    base = ports.free_block(ports.port_base(os.environ), places)
    servers = LocalServers(
        FOLDER,
        kafka_port=base + ports.KAFKA,
        controller_port=base + ports.KAFKA_CONTROLLER,
        mongo_port=base + ports.MONGO,
    )
    try:
        begun = time.monotonic()
        _say(f"starting Kafka and MongoDB (data in {FOLDER})")
        servers.start()
        _say(f"both answer after {time.monotonic() - begun:.1f} s; Ctrl-C stops them")
        for name, url in servers.urls.items():
            print(f"export {name}='{url}'", flush=True)
        while (dead := servers.dead()) is None:
            time.sleep(_WATCH_S)
        _say(f"{dead.name} ended by itself. The end of {dead.log}:\n{dead.log_tail()}")
        return 1
    finally:
        _say("stopping both")
        servers.stop()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
