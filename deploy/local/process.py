"""One server process and the folder that holds its data, its log and its process id.

* Nothing is inherited: no stdout, no terminal, no environment but what it is given. Ctrl-C
  reaches the caller only, who stops the services first.
* The folder has one owner, by a file lock that the kernel drops when the owner ends.
* A guard (four lines of sh) sees the owner end, however it ends, and stops the server. If even the
  guard was killed, the next start finds the server by its process id and stops it first.
"""

import fcntl
import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar, Self

from deploy.local import ports
from deploy.local.errors import FolderInUseError, ServerFailedError

_LOCK = "owner.lock"
_POLL_S = 0.03
_TAIL_LINES, _TAIL_COLUMNS = 12, 400
# Waits for the end of the owner: its end of the pipe closes. A process id may have been given to
# another program by then, so the command line must name the folder.
_GUARD = 'read -r _; grep -qaF -- "$2" "/proc/$1/cmdline" && kill -TERM "$1"'


class Server(ABC):
    """A server on loopback whose data outlives it: start, stop, kill, start again."""

    name: ClassVar[str]

    def __init__(self, *, folder: Path, port: int) -> None:
        self.folder = folder.resolve()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """None unless it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Self:
        """Start on what the folder holds; returns before the server answers.

        Raises:
            FolderInUseError: another run owns the folder.
            ServerFailedError: the port is taken, or the data could not be prepared.
        """
        assert self.pid is None, f"{self.name} runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own_folder()
        try:
            self._stop_orphan()
            if not ports.is_free(self.port):
                raise self._failed(f"cannot start: port {self.port} is taken by another program")
            self._prepare()
            self._spawn()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_ready(self, timeout_s: float = 60) -> Self:
        """Until it serves reads and writes.

        Raises:
            ServerFailedError: it ended, or the time is over; shows the end of its log.
        """
        assert self._process is not None, f"{self.name} was not started"
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if (code := self._process.poll()) is not None:
                raise self._failed(f"ended with code {code} before it was ready")
            if time.monotonic() > deadline:
                raise self._failed(f"did not answer on port {self.port} within {timeout_s:g} s")
            time.sleep(_POLL_S)
        return self

    def ask_to_stop(self) -> None:
        """SIGTERM; ``stop`` waits for it. For whoever stops two servers at once."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, timeout_s: float = 20) -> None:
        """SIGTERM, after ``timeout_s`` SIGKILL; may be called at any time, also twice."""
        self.ask_to_stop()
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._dismiss_guard()
        self._process = None
        if self._lock is not None:
            self._pid_file.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """SIGKILL, as in a crash; the folder stays ours, ``start`` brings it back."""
        assert self._process is not None, f"{self.name} was not started"
        self._process.kill()
        self._process.wait()
        self._dismiss_guard()

    def log_tail(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(line[:_TAIL_COLUMNS] for line in lines[-_TAIL_LINES:])

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """Names the folder in one of its words: that is how an orphan is told from a stranger."""

    def _environment(self) -> Mapping[str, str]:
        """Settings of the program; nothing else is inherited."""
        return {}

    @abstractmethod
    def _prepare(self) -> None:
        """Make what must be there before the start; may be repeated."""

    @abstractmethod
    def _answers(self) -> bool: ...

    @property
    def _pid_file(self) -> Path:
        return self.folder / "server.pid"

    def _failed(self, what: str) -> ServerFailedError:
        return ServerFailedError(self.name, what, self.log, self.log_tail())

    def _own_folder(self) -> None:
        if self._lock is not None:
            return
        lock = (self.folder / _LOCK).open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise FolderInUseError(self.folder, owner) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _spawn(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))  # the log of the run before, no more
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"LANG": "C.UTF-8", "PATH": os.defpath, **self._environment()},
                start_new_session=True,
            )
        pid = self._process.pid
        new = self._pid_file.with_suffix(".new")
        new.write_text(json.dumps({"pid": pid, "started": _started(pid)}), encoding="ascii")
        new.replace(self._pid_file)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _stop_orphan(self) -> None:
        """End the server that an earlier run left in this folder, and nothing else."""
        try:
            left = json.loads(self._pid_file.read_text(encoding="ascii"))
            pid, started = int(left["pid"]), int(left["started"])
        except (FileNotFoundError, ValueError, KeyError):
            return

        def is_ours() -> bool:
            return _started(pid) == started and str(self.folder) in _command_line(pid)

        if is_ours():
            print(f"{self.name}: stopping process {pid}, left by a run that crashed", flush=True)
            _end(pid, is_ours)


def is_owned(folder: Path) -> bool:
    """Whether a run that is still alive owns the server in this folder."""
    try:
        with (folder / _LOCK).open(encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _end(pid: int, is_there: Callable[[], bool]) -> None:
    for number, timeout_s in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not is_there():
                return
            time.sleep(_POLL_S)


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the id, it names one process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
