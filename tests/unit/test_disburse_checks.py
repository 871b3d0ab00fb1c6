"""What must hold before a batch of lives is written; a decision that breaks it is parked."""

from dataclasses import replace

import pytest

from services.disburse.handlers import Book, DisburseHandlers
from services.disburse.life import Life, Transfer
from tests.support.disburse_world import LIFE, life_in, terms, transfer_for


def check(life: Life, transfer: Transfer | None) -> None:
    book = Book(lives={LIFE: life}, changed_lives={LIFE})
    if transfer is not None:
        book.transfers[LIFE] = transfer
    DisburseHandlers(terms()).check(book)


@pytest.mark.parametrize("status", ["holding", "scheduled", "sending", "unclear", "failed"])
def test_a_life_as_it_should_be_passes(status: str) -> None:
    check(life_in(status), transfer_for(status))


def test_a_failed_life_names_its_reason() -> None:
    with pytest.raises(AssertionError, match="reason"):
        check(life_in("failed", failure=None), transfer_for("failed"))


def test_a_life_on_its_way_has_a_transfer() -> None:
    with pytest.raises(AssertionError, match="without a transfer"):
        check(life_in("sending"), None)


def test_a_life_on_its_way_can_still_be_sent() -> None:
    with pytest.raises(AssertionError, match="no more is sent"):
        check(life_in("unclear"), transfer_for("failed"))


@pytest.mark.parametrize("status", ["succeeded", "failed", "reversed"])
def test_nothing_is_sent_for_a_life_that_has_ended(status: str) -> None:
    transfer = transfer_for(status)
    assert transfer is not None

    with pytest.raises(AssertionError, match="more may be sent"):
        check(life_in(status), replace(transfer, closed=None))
