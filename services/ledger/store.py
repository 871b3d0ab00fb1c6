"""Where the ledger's state is kept: documents and back, and their indices.

All that is asked for is an ``_id``, so there is no other index to write: an entry's is its account
and number, which makes their pair unique and the journal sorted; a credit's its account and
reference.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC

from pymongo import IndexModel

from services._kit.life import Changes, Document
from services._kit.ports import Reader
from services.ledger.state import Account, Book, Credit, Entry, Hold, Step

ACCOUNTS, HOLDS, JOURNAL, CREDITS = "accounts", "holds", "journal", "credits"

INDICES: Mapping[str, Sequence[IndexModel]] = {
    ACCOUNTS: [],
    HOLDS: [],
    JOURNAL: [],
    CREDITS: [],
}


async def load(
    reader: Reader, accounts: set[str], holds: set[str], credits_: set[tuple[str, str]]
) -> Book:
    """All that a batch touches, in three queries at most, side by side."""
    book = Book()
    found = await asyncio.gather(
        reader.get(ACCOUNTS, accounts),
        reader.get(HOLDS, holds),
        reader.get(CREDITS, {f"{account}/{reference}" for account, reference in credits_}),
    )
    for document in found[0].values():
        book.accounts[document["_id"]] = account_of(document)
        book.opening[document["_id"]] = account_of(document)
    for document in found[1].values():
        book.holds[document["_id"]] = hold_of(document)
    for document in found[2].values():
        credit = credit_of(document)
        book.credits[credit.account, credit.reference] = credit
    book.opening_reserved = book.reserved()
    return book


def changes(book: Book) -> Changes:
    written = Changes()
    written.put(ACCOUNTS, [_account_document(book.accounts[i]) for i in book.changed_accounts])
    written.put(HOLDS, [_hold_document(book.holds[i]) for i in book.changed_holds])
    written.insert(CREDITS, [_credit_document(one) for one in book.new_credits])
    written.insert(JOURNAL, [_entry_document(one) for one in book.entries])
    return written


def entry_id(account: str, number: int) -> str:
    """Sorts like the number."""
    return f"{account}/{number:010d}"


def account_of(document: Document) -> Account:
    fields = {**document, "id": document["_id"]}
    del fields["_id"]
    return Account(**fields)


def _account_document(account: Account) -> Document:
    return {
        "_id": account.id,
        "version": account.version + 1,
        "scheme": account.scheme,
        "credit_limit": account.credit_limit,
        "available": account.available,
        "held": account.held,
        "frozen": account.frozen,
        "entries": account.entries,
        "head": account.head,
    }


def hold_of(document: Document) -> Hold:
    fields = {**document, "id": document["_id"]}
    fields["steps"] = [Step(*step) for step in document["steps"]]
    del fields["_id"]
    return Hold(**fields)


def _hold_document(hold: Hold) -> Document:
    document: Document = {
        "_id": hold.id,
        "version": hold.version + 1,
        "account": hold.account,
        "holder": hold.holder,
        "amount": hold.amount,
        "fee": hold.fee,
        "status": hold.status,
        "steps": hold.steps,
    }
    if hold.status != "open":
        document |= {
            "reason": hold.reason,
            "settled_by": hold.settled_by,
            "returned_by": hold.returned_by,
            "fee_returned": hold.fee_returned,
        }
    return document


def credit_of(document: Document) -> Credit:
    account, _, reference = document["_id"].partition("/")
    return Credit(account, reference, document["amount"], Step(*document["step"]))


def _credit_document(credit: Credit) -> Document:
    return {
        "_id": f"{credit.account}/{credit.reference}",
        "amount": credit.amount,
        "step": credit.step,
    }


def entry_of(document: Document) -> Entry:
    account, _, number = document["_id"].partition("/")
    return Entry(
        account,
        int(number),
        document["kind"],
        document["subject"],
        tuple((book, amount) for book, amount in document["legs"]),
        document["available"],
        document["held"],
        document["at"].replace(tzinfo=UTC),
        tuple(document.get("notes", ())),
        document["hash"],
    )


def _entry_document(entry: Entry) -> Document:
    document: Document = {
        "_id": entry_id(entry.account, entry.number),
        "kind": entry.kind,
        "subject": entry.subject,
        "legs": entry.legs,
        "available": entry.available,
        "held": entry.held,
        "at": entry.at,
        "hash": entry.hash,
    }
    if entry.notes:
        document["notes"] = entry.notes
    return document
