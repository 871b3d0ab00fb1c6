"""``make up``: the platform in containers, for machines where ``make run`` has no servers.

Writes ``.local/docker/env`` and the secrets once, builds the image and starts deploy/compose.yaml.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local import environment as env
from deploy.local.stack import SERVICES

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".local" / "docker"
_BASE = 8700


def main() -> int:
    docker = shutil.which("docker")
    if docker is None:
        sys.stderr.write(
            "docker is not there. Install Docker with its compose plugin, or set KAFKA_URL and "
            "MONGO_URL to servers that run already and use `make run`.\n"
        )
        return 1
    prepare(FOLDER)
    compose = [docker, "compose", "-f", str(ROOT / "deploy" / "compose.yaml")]
    command = [*compose, "up", "--build", "--detach", "--wait"]
    user = {**os.environ, "SALUR_USER": f"{os.getuid()}:{os.getgid()}"}
    done = subprocess.run(command, check=False, env=user)  # noqa: S603 - fixed words
    if done.returncode == 0:
        sys.stdout.write("ready: http://127.0.0.1:8700; operators: http://127.0.0.1:8701\n")
        sys.stdout.write(f"the operators' token is in {FOLDER / 'secrets' / 'admin_token'}\n")
    return done.returncode


def prepare(folder: Path) -> dict[str, str]:
    """The variables of the containers, where services find each other by name."""
    urls = {
        "KAFKA_URL": "kafka:9092",
        "MONGO_URL": "mongodb://mongo:27017/?replicaSet=rs0",
    }
    variables = env.environment(folder, _BASE, urls, env.Choices())
    sandbox = f"sandbox:{_BASE + env.SANDBOX}"
    inside = {
        name: value.replace(f"{env.LOOPBACK}:{_BASE + env.SANDBOX}", sandbox)
        .replace(f"{env.LOOPBACK}:{_BASE}", f"gateway:{_BASE}")
        .replace(str(folder / "secrets"), "/secrets")
        for name, value in variables.items()
    }
    everywhere = "0.0.0.0"  # noqa: S104 - inside a container; compose publishes on loopback only
    inside["SALUR_SANDBOX_DATA_DIR"] = "/bank"
    inside["SALUR_SANDBOX_HOST"] = everywhere
    inside["SALUR_GATEWAY_HOST"] = everywhere
    inside["SALUR_GATEWAY_ADMIN_HOST"] = everywhere
    for place, service in enumerate(SERVICES):
        inside[f"SALUR_{service.upper()}_HEALTH_PORT"] = str(_BASE + env.HEALTH + place)
    text = "".join(f"{name}={value}\n" for name, value in inside.items())
    (folder / "env").write_text(text, encoding="utf-8")
    return inside


if __name__ == "__main__":
    sys.exit(main())
