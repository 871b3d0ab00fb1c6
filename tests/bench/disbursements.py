"""``make bench``: N disbursements at R per second, from HTTP to the delivered callback, and tills.

Open loop: request number i leaves at i / R, whether earlier ones were answered or not, so a slow
platform shows as latency and not as a lower rate. Starts its own platform on free ports in a
temporary folder, checks that every count matches, and writes ``build/bench.json``.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track

from deploy.local import ports, stack
from deploy.local.environment import Choices, own_settings
from deploy.local.sandbox_partner import Partner, open_partner
from tests.bench import redemptions
from tests.support.partner_client import PartnerClient, to_bank, to_wallet

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "build" / "bench.json"
TILL_RATE = 50.0
DURABILITY = "MongoDB w:majority j:true, Kafka acks=all idempotent, one node of each"

console = Console(highlight=False)


@dataclass
class Run:
    """What one run saw. Times are seconds of the machine's clock."""

    sent: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    terminal: dict[str, float] = field(default_factory=dict)
    called_back: dict[str, float] = field(default_factory=dict)

    def stage(self, begun: dict[str, float], ended: dict[str, float]) -> dict[str, float]:
        took = sorted(1000 * (ended[one] - begun[one]) for one in ended if one in begun)
        return {"p50": _quantile(took, 0.5), "p99": _quantile(took, 0.99)}


async def main(count: int, rate: float, idle: int, holds: int, tills: int) -> int:
    # Not the system's temporary folder: that may be memory, where an fsync costs nothing.
    scratch = ROOT / ".local" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        base = ports.free_block(9700, stack.places())
        choices = Choices(bank_latency_ms=20, overrides=own_settings(os.environ))
        platform = stack.LocalPlatform(Path(folder), base, choices=choices)
        console.print("starting Kafka, MongoDB and the services in a temporary folder")
        with platform:
            partner = open_partner(platform, top_up=1_000_000_000_000)
            quiet = await _idle(partner, platform.sandbox_url, idle)
            run = Run()
            before = _cpu_s(platform)
            took_s = await _load(partner, platform.sandbox_url, run, count, rate)
            after = _cpu_s(platform)
            at_tills = await _tills(partner, platform, tills) if tills else {}
            clean = _verify(platform)
    result = _result(run, quiet, took_s, clean=clean)
    result["cpu_ms_per_disbursement"] = {
        name: round(1000 * (after[name] - before[name]) / count, 2) for name in after
    }
    result |= at_tills
    result["ledger_holds_per_s_one_account"] = _ledger(holds) if holds else None
    return _report(result, count)


async def _idle(partner: Partner, sandbox: str, count: int) -> Run:
    """One at a time on an idle platform; the first few warm it up and are not counted."""
    run = Run()
    async with PartnerClient(partner.url, partner.key, partner.secret) as client:
        for number in track(range(count + 5), "idle, one at a time", console=console):
            one = Run()
            await _request(client, one, f"idle-{number}", number)
            await _ends(client, sandbox, one, within_s=30)
            if number >= 5:
                for name in ("sent", "accepted", "terminal", "called_back"):
                    getattr(run, name).update(getattr(one, name))
    return run


async def _load(partner: Partner, sandbox: str, run: Run, count: int, rate: float) -> float:
    async with PartnerClient(partner.url, partner.key, partner.secret) as client:
        begun = time.monotonic()
        requests = []
        for number in track(range(count), f"{count} at {rate:g}/s", console=console):
            await asyncio.sleep(begun + number / rate - time.monotonic())
            requests.append(asyncio.create_task(_request(client, run, f"load-{number}", number)))
        await asyncio.gather(*requests)
        first = min(run.sent.values())
        await _ends(client, sandbox, run, within_s=120)
    return max(run.terminal.values(), default=first) - first


async def _tills(partner: Partner, platform: stack.LocalPlatform, count: int) -> dict[str, Any]:
    """Redemptions at 50/s while as many disbursements run; all of them must be paid."""
    console.print(f"{count} redemptions at {TILL_RATE:g}/s beside as many disbursements")
    run = Run()
    async with PartnerClient(partner.url, partner.key, partner.secret) as client:
        answers = await redemptions.measure(
            partner,
            count,
            TILL_RATE,
            lambda number: _request(client, run, f"beside-{number}", number),
        )
        await _ends(client, platform.sandbox_url, run, within_s=60)
    took, alone = sorted(answers.took_ms), sorted(answers.alone_ms)
    return {
        "till_answer_ms_p50": _quantile(took, 0.5),
        "till_answer_ms_p99": _quantile(took, 0.99),
        "till_idle_ms": {"p50": _quantile(alone, 0.5), "p99": _quantile(alone, 0.99)},
        "till_answers": dict(answers.said),
        "till_beside": {
            "disbursements_succeeded": len(run.terminal),
            "disbursements_refused": len(run.refused),
            "terminal_ms": run.stage(run.accepted, run.terminal),
        },
    }


async def _request(client: PartnerClient, run: Run, reference: str, number: int) -> None:
    body = to_wallet(reference, 25_000) if number % 4 == 0 else to_bank(reference, 50_000)
    sent = time.time()
    try:
        answer = await client.post("/v1/disbursements", body, idempotency_key=reference)
    except httpx.HTTPError as error:
        run.refused.append(repr(error))
        return
    if answer.status_code != httpx.codes.ACCEPTED:
        run.refused.append(f"{answer.status_code} {answer.text[:200]}")
        return
    one = answer.json()["id"]
    run.sent[one], run.accepted[one] = sent, time.time()


async def _ends(client: PartnerClient, sandbox: str, run: Run, within_s: float) -> None:
    """Wait until every accepted one is terminal and called back, then note when that was."""
    deadline = time.monotonic() + within_s
    missing = set(run.accepted)
    after = 0
    async with httpx.AsyncClient(base_url=sandbox, timeout=10) as merchant:
        while missing and time.monotonic() < deadline:
            page = (await merchant.get("/merchant/callbacks", params={"after": after})).json()
            for row in page["data"]:
                after = max(after, row["number"])
                data = row["body"].get("data", {})
                if data.get("id") in missing and row["verified"]:
                    missing.discard(data["id"])
                    run.called_back[data["id"]] = _moment(row["received_at"])
                    run.terminal[data["id"]] = _moment(data["updated_at"])
            if not page["data"]:
                await asyncio.sleep(0.02 if len(run.accepted) == 1 else 0.5)
    # The callback tells when a life ended; that the API tells the same is counted for itself.
    if len(run.accepted) > 1:
        await _count_by_api(client, run)


async def _count_by_api(client: PartnerClient, run: Run) -> None:
    ended, cursor = set(), ""
    while True:
        page = (await client.get(f"/v1/disbursements?limit=100{cursor}")).json()
        ended |= {one["id"] for one in page["data"] if one["status"] == "succeeded"}
        if not page["next_cursor"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    for one in set(run.terminal) - ended:
        del run.terminal[one]


def _cpu_s(platform: stack.LocalPlatform) -> dict[str, float]:
    """CPU seconds that each process has used so far, and this load generator."""
    tick = os.sysconf("SC_CLK_TCK")
    used = {"load generator": time.process_time()}
    for one in (*platform.needed_servers(), *platform.processes):
        text = Path(f"/proc/{one.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        user, system = text.split()[11:13]
        used[one.name] = (int(user) + int(system)) / tick
    return used


def _verify(platform: stack.LocalPlatform) -> bool:
    variables = {**os.environ, **platform.variables}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.verify"], cwd=ROOT, env=variables, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    console.print(done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr)
    return done.returncode == 0


def _ledger(holds: int) -> float:
    console.print(f"the ledger alone: {holds} holds on one account")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "holds.json"
        command = [sys.executable, "-m", "tests.bench.ledger_holds", "--accounts", "1"]
        command += ["--commands", str(holds), "--json", str(path)]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own module
        return float(json.loads(path.read_text(encoding="utf-8"))["holds_per_s"])


def _result(run: Run, quiet: Run, took_s: float, *, clean: bool) -> dict[str, Any]:
    stages = {
        "accept": run.stage(run.sent, run.accepted),
        "terminal": run.stage(run.accepted, run.terminal),
        "callback": run.stage(run.terminal, run.called_back),
    }
    idle = {
        "accept": quiet.stage(quiet.sent, quiet.accepted),
        "terminal": quiet.stage(quiet.accepted, quiet.terminal),
        "callback": quiet.stage(quiet.terminal, quiet.called_back),
    }
    return {
        "accepted": len(run.accepted),
        "refused": len(run.refused),
        "refused_examples": run.refused[:3],
        "terminal": len(run.terminal),
        "callbacks_delivered": len(run.called_back),
        "verify": "clean" if clean else "differs",
        "accepted_per_s": round(len(run.accepted) / took_s, 1) if took_s else None,
        "terminal_per_s": round(len(run.terminal) / took_s, 1) if took_s else None,
        "latency_ms_p50": stages["terminal"]["p50"],
        "latency_ms_p99": stages["terminal"]["p99"],
        "stages_ms": stages,
        "idle_ms": idle,
        "cores": os.cpu_count(),
        "durability": DURABILITY,
        "versions": {
            "python": sys.version.split()[0],
            "kafka": "4.3.0",
            "mongodb": "6.0",
            **{name: version(name) for name in ("aiokafka", "faststream", "motor", "pydantic")},
        },
    }


def _report(result: dict[str, Any], count: int) -> int:
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console.print_json(json.dumps(result))
    counts = {result[name] for name in ("accepted", "terminal", "callbacks_delivered")}
    held = counts == {count} and result["verify"] == "clean"
    # Each code was right: a no, or no answer, is a failure of the platform.
    held = held and set(result.get("till_answers", {})) <= {"valid"}
    mark = "[green]✓[/]" if held else "[red]✗[/]"
    console.print(f"{mark} accepted = terminal = callbacks = {count}, verify clean; {RESULT.name}")
    return 0 if held else 1


def _quantile(values: Sequence[float], share: float) -> float:
    if len(values) < 2:
        return round(values[0], 1) if values else 0.0
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return round(cuts[int(share * 100) - 1], 1)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6000, help="disbursements in the load")
    parser.add_argument("--rate", type=float, default=100, help="requests per second")
    parser.add_argument("--idle", type=int, default=100, help="one at a time before the load")
    parser.add_argument("--tills", type=int, default=1500, help="redemptions; 0: none")
    parser.add_argument("--holds", type=int, default=100_000, help="for the ledger alone; 0: none")
    words = parser.parse_args()
    sys.exit(asyncio.run(main(words.count, words.rate, words.idle, words.holds, words.tills)))
