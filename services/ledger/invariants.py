"""What must hold before anything is written, found without trusting the decisions."""

from services.ledger.state import AVAILABLE, HELD, Account, Book, Entry


def check(book: Book) -> None:
    """Assert that the batch's entries lead from the accounts as read to the accounts as decided.

    Raises:
        AssertionError: names the account and what does not fit.
    """
    reached: dict[str, Account] = {}
    for entry in book.entries:
        before = reached.get(entry.account)
        if before is None:
            before = reached[entry.account] = _opening(book, entry.account)
        _follow(before, entry)
    assert reached.keys() == book.changed_accounts, "an account changed without an entry"
    for account_id, one in reached.items():
        decided = book.accounts[account_id]
        assert (one.available, one.held, one.entries, one.head) == (
            decided.available,
            decided.held,
            decided.entries,
            decided.head,
        ), f"{account_id} is not where its entries lead"
        assert (one.scheme, one.credit_limit, one.frozen) == (
            decided.scheme,
            decided.credit_limit,
            decided.frozen,
        ), f"{account_id} has other terms than its entries say"
    _check_reserved(book)


def _opening(book: Book, account_id: str) -> Account:
    read = book.opening.get(account_id)
    if read is None:
        return Account(account_id, "deposit", 0)
    return Account(
        read.id, read.scheme, read.credit_limit, read.available, read.held,
        read.frozen, read.entries, read.head,
    )  # fmt: skip


def _follow(account: Account, entry: Entry) -> None:
    """Bring ``account`` behind ``entry``."""
    total = 0
    for book, amount in entry.legs:
        total += amount
        if book == AVAILABLE:
            account.available += amount
        elif book == HELD:
            account.held += amount
    account.entries += 1
    assert total == 0, f"{entry.account}/{entry.number} does not balance: {total}"
    assert entry.number == account.entries, f"{entry.account}: a gap before {entry.number}"
    assert (entry.available, entry.held) == (account.available, account.held), (
        f"{entry.account}/{entry.number} does not lead where it says"
    )
    assert account.held >= 0, f"{entry.account}/{entry.number}: held would be {account.held}"
    if entry.kind == "held":
        assert account.available >= account.floor, f"{entry.account}/{entry.number}: over the limit"
        assert not account.frozen, f"{entry.account}/{entry.number}: held while frozen"
    elif not entry.legs:
        _follow_terms(account, entry)
    account.head = entry.hash


def _follow_terms(account: Account, entry: Entry) -> None:
    if entry.kind in ("opened", "terms"):
        scheme, limit = entry.notes
        account.scheme = "invoice" if scheme == "invoice" else "deposit"
        account.credit_limit = int(limit)
    else:
        account.frozen = entry.kind == "frozen"


def _check_reserved(book: Book) -> None:
    """``held`` changed by as much as the open holds did."""
    before, after = book.opening_reserved, book.reserved()
    for account_id in before.keys() | after.keys():
        account = book.accounts.get(account_id)
        read = book.opening.get(account_id)
        changed = (account.held if account else 0) - (read.held if read else 0)
        expected = after.get(account_id, 0) - before.get(account_id, 0)
        assert changed == expected, f"{account_id}: held is not what its open holds have"
