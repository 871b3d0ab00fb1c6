"""Kafka's class path: 46 jars, each pinned by its SHA-256, fetched once into a cache folder.

``python -m deploy.local.jars`` fetches what is missing and checks all. ``--write-pins`` resolves
the roots anew (after a new Kafka version) and rewrites ``kafka-jars.sha256``; review its diff like
code, it decides what runs.

The pins name every jar, so a start never follows a POM: what is fetched is what was reviewed.
jgo is used as a resolver only; its environment builder would look for a JDK on the network.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from deploy.local.errors import TWO_WAYS_OUT, JarRefusedError, JarUnavailableError, LocalServerError

PINS = Path(__file__).with_name("kafka-jars.sha256")
CACHE = Path(__file__).parents[2] / ".local" / "kafka-jars"

KAFKA_VERSION = "4.3.0"
# slf4j-simple and not log4j-slf4j-impl: with that one jgo picks kafka-clients 3.8.
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")

_FETCHES_AT_ONCE = 4
_TRIES_MAX = 3
_FETCH_TIMEOUT_S = 20
_HEAD = """\
# The jars of Kafka's class path: SHA-256 and coordinates. Checked before each start.
# Written by `python -m deploy.local.jars --write-pins`.
"""


@dataclass(frozen=True, order=True)
class Pin:
    coordinates: str  # group:artifact:version
    sha256: str

    @property
    def filename(self) -> str:
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


def ensure_jars(cache: Path = CACHE, pins: Path = PINS) -> tuple[Path, ...]:
    """All pinned jars, checked; what is missing is fetched, with progress on stderr.

    Any number of processes may do this at once: each fetches into a folder of its own and
    renames jar by jar.

    Raises:
        JarRefusedError: a jar differs from its pin; names it and the remedy.
        JarUnavailableError: a jar is missing and cannot be fetched.
    """
    wanted = read_pins(pins)
    missing = [pin for pin in wanted if not (cache / pin.filename).exists()]
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        _fetch_all(missing, cache)
    for pin in wanted:
        path = cache / pin.filename
        found = _sha256(path)
        if found != pin.sha256:
            raise JarRefusedError(
                f"{path.name} in {cache} is not the jar that was pinned: its SHA-256 is {found}, "
                f"the pin of {pin.coordinates} is {pin.sha256}. Nothing was started. Remedy: "
                f"delete {path} and start again, then it is fetched anew."
            )
    return tuple(cache / pin.filename for pin in wanted)


def read_pins(path: Path = PINS) -> tuple[Pin, ...]:
    pins = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            sha256, coordinates = line.split()
            pins.append(Pin(coordinates, sha256))
    assert len({pin.filename for pin in pins}) == len(pins) > 0, f"{path}: empty, or a name twice"
    return tuple(pins)


def write_pins(path: Path = PINS) -> tuple[Pin, ...]:
    """Resolve the roots with everything they need and pin what came."""
    with tempfile.TemporaryDirectory() as folder:
        context = _context(Path(folder))
        roots = [context.create_dependency(root) for root in ROOTS]
        inputs, others = context.resolver.resolve(roots)
        pins = []
        for artifact in (dependency.artifact for dependency in (*inputs, *others)):
            assert (artifact.classifier, artifact.packaging) == ("", "jar"), artifact
            coordinates = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            pins.append(Pin(coordinates, _sha256(artifact.resolve())))
    clients = f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}"
    assert clients in {pin.coordinates for pin in pins}, f"resolved other clients than {clients}"
    lines = [f"{pin.sha256}  {pin.coordinates}\n" for pin in sorted(pins)]
    path.write_text(_HEAD + "".join(lines), encoding="utf-8")
    return read_pins(path)


def _fetch_all(missing: Sequence[Pin], cache: Path) -> None:
    console = Console(stderr=True)
    console.print(f"resolving {len(missing)} jars, about 25 s the first time")
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with (
        tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as folder,
        Progress(*columns, console=console) as progress,
        ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool,
    ):
        task = progress.add_task("", total=len(missing))
        fetches = [pool.submit(_fetch, pin, cache, Path(folder)) for pin in missing]
        try:
            for fetch in as_completed(fetches):
                progress.update(task, advance=1, description=fetch.result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _fetch(pin: Pin, cache: Path, folder: Path) -> str:
    """Fetch one jar, check it, and only then give it its name in the cache."""
    artifact = _context(folder).create_dependency(pin.coordinates).artifact
    for attempt in range(1, _TRIES_MAX + 1):
        artifact.cached_path.unlink(missing_ok=True)  # half of a broken try would pass for a jar
        try:
            path = artifact.resolve()
            break
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            if attempt == _TRIES_MAX:
                raise JarUnavailableError(
                    f"{pin.coordinates} could not be fetched ({type(error).__name__}): is the "
                    f"package registry reachable? {TWO_WAYS_OUT}"
                ) from error
            time.sleep(attempt)
    found = _sha256(path)
    if found != pin.sha256:
        raise JarRefusedError(
            f"{pin.filename}: the registry gave other bytes (SHA-256 {found}) than were pinned for "
            f"{pin.coordinates} ({pin.sha256}). Nothing was started. Remedy: find out why before "
            "you pin anew with `python -m deploy.local.jars --write-pins`."
        )
    path.replace(cache / pin.filename)
    return pin.filename


def _context(folder: Path) -> Any:
    from jgo.maven import MavenContext  # noqa: PLC0415  a full cache needs no resolver

    return MavenContext(repo_cache=folder, timeout=_FETCH_TIMEOUT_S)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.jars", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the jars")
    parser.add_argument("--write-pins", action="store_true", help="resolve anew and pin that")
    options = parser.parse_args()
    try:
        if options.write_pins:
            print(f"{len(write_pins())} jars pinned in {PINS}")
        print(f"{len(ensure_jars(options.cache))} jars in {options.cache} match their pins")
    except LocalServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
