"""``python -m tests.bench.cashout_expiry [codes] [seconds]``: how late codes expire.

Starts its own Kafka and MongoDB and one process of the service, lets the codes expire evenly within
the seconds (default: 10,000 in 60 s), and prints by how much they were late.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from deploy.local.ports import free_ports
from deploy.local.servers import LocalServers
from tests.support.cashout_servers import Processes, lateness_s, percentile
from tests.support.space import Space

_FOLDERS = Path(__file__).parents[2] / ".local" / "tests"


def main(codes: int, within_s: float) -> int:
    _FOLDERS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=_FOLDERS))
    kafka_port, controller_port, mongo_port = free_ports(3)
    servers = LocalServers(
        folder, kafka_port=kafka_port, controller_port=controller_port, mongo_port=mongo_port
    )
    try:
        servers.start()
        name = uuid4().hex[:12]
        space = Space(servers.kafka.url, servers.mongo.url, f"t{name}.", f"t{name}_")
        late = asyncio.run(lateness_s(Processes(space, folder), codes, within_s))
    finally:
        servers.stop()
        shutil.rmtree(folder)
    p50, p99 = percentile(late, 0.5), percentile(late, 0.99)
    sys.stdout.write(
        f"{codes} codes in {within_s:g} s: late by p50 {p50:.3f} s, p99 {p99:.3f} s, "
        f"most {late[-1]:.3f} s\n"
    )
    return 0 if p99 <= 0.5 else 1


if __name__ == "__main__":
    arguments = [float(one) for one in sys.argv[1:]] + [10_000.0, 60.0][len(sys.argv) - 1 :]
    raise SystemExit(main(int(arguments[0]), arguments[1]))
