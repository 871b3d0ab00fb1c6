"""The nets are cut one by one, and the simulation sees money fall: it is not blind.

Each cut is made in the services or the kit as they run here, never in the files.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from services._kit.memory import MemoryErrands, MemoryStore
from services._kit.ports import Errand
from services.cashout import tills
from services.cashout.life import Scene
from services.disburse import errands
from services.disburse.life import Transfer
from services.disburse.store import TRANSFERS, MemoryNotes, transfer_of
from tests.simulation.bank import SeamRail
from tests.simulation.play import play
from tests.simulation.test_lives import SEEDS
from tests.simulation.world import World

Patch = pytest.MonkeyPatch


def forget_the_inbox(patch: Patch) -> None:
    async def nothing(_store: MemoryStore, _ids: Any) -> dict[str, Any]:
        return {}

    check = MemoryStore._check
    patch.setattr(MemoryStore, "answered", nothing)
    patch.setattr(MemoryStore, "_check", lambda s, c, _inbox, u: check(s, c, (), u))


def write_without_guard(patch: Patch) -> None:
    check = MemoryStore._check
    patch.setattr(MemoryStore, "_check", lambda s, c, i, u: check(s, replace(c, replaces={}), i, u))


def send_what_was_sent(patch: Patch) -> None:
    read = MemoryNotes.transfer

    async def unsent(notes: MemoryNotes, life: str) -> Transfer | None:
        found = await read(notes, life)
        return None if found is None else replace(found, sending=0)

    async def note(
        notes: MemoryNotes, seen: Transfer, sent_at: datetime, *, resend: bool
    ) -> Transfer:
        row = notes._rows(TRANSFERS)[seen.id]
        row |= {
            "sent_at": sent_at,
            "sending": row["sending"] + 1,
            "version": row["version"] + 1,
            "resends": row["resends"] + resend,
        }
        return transfer_of(row)

    patch.setattr(MemoryNotes, "transfer", unsent)
    patch.setattr(MemoryNotes, "note_sending", note)


def take_silence_for_a_no(patch: Patch) -> None:
    def refused(attempt: Any, reason: str) -> Any:
        sending = attempt.transfer.sending
        return errands._refused(attempt.job, sending, "BANK_UNAVAILABLE", reason)

    patch.setattr(errands, "_unclear", refused)


def believe_not_found_at_once(patch: Patch) -> None:
    patch.setattr(SeamRail, "not_found_after_s", 0.0)


def pay_after_a_reversal(patch: Patch) -> None:
    redeem = tills._redeem

    def forgetful(scene: Scene, message: Any, reference_id: str) -> Any:
        reference = scene.reference
        if reference is not None and reference.state == "reversed":
            scene = replace(scene, reference=replace(reference, state="refused", reason=None))
        return redeem(scene, message, reference_id)

    patch.setattr(tills, "_redeem", forgetful)


def let_go_before_it_is_decided(patch: Patch) -> None:
    take = World.take

    def hasty(world: World, seat: Any) -> Sequence[Any]:
        batch = take(world, seat)
        world.let_go(seat, batch)
        return batch

    patch.setattr(World, "take", hasty)


def delete_errands_that_are_leased(patch: Patch) -> None:
    lease = MemoryErrands.lease

    async def hasty(rows: MemoryErrands, *how: Any) -> list[Errand]:
        leased = await lease(rows, *how)
        await rows.done(leased)
        return leased

    patch.setattr(MemoryErrands, "lease", hasty)


@pytest.mark.parametrize(
    "cut",
    [
        forget_the_inbox,
        write_without_guard,
        send_what_was_sent,
        take_silence_for_a_no,
        believe_not_found_at_once,
        pay_after_a_reversal,
        let_go_before_it_is_decided,
        delete_errands_that_are_leased,
    ],
    ids=lambda cut: cut.__name__,
)
def test_the_simulation_would_notice_when_services(
    cut: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    cut(monkeypatch)

    with pytest.raises(AssertionError) as noticed:
        _play_all()

    assert "play it again" in str(noticed.value.__notes__)


def _play_all() -> None:
    for seed in SEEDS:
        play(seed)
