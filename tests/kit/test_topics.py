"""Topics are compared as soon as the broker knows them, and not before."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from services._kit import topics


class Broker:
    """Describes its topics with one code after the other; the last one stays."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked = 0

    async def describe_configs(self, _: list[Any]) -> list[Any]:
        self.asked += 1
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        return [SimpleNamespace(resources=[(code, None, 2, "ledger.commands", [])])]


async def test_a_topic_just_made_is_asked_for_again_until_its_broker_knows_it() -> None:
    broker = Broker(UnknownTopicOrPartitionError.errno, UnknownTopicOrPartitionError.errno, 0)
    answers = await topics._described(broker, [])
    assert broker.asked == 3
    assert answers[0].resources[0][0] == 0


async def test_a_topic_that_stays_unknown_is_an_error_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "_KNOWN_WITHIN_S", 0.1)
    with pytest.raises(UnknownTopicOrPartitionError, match=r"ledger\.commands"):
        await topics._described(Broker(UnknownTopicOrPartitionError.errno), [])


async def test_any_other_answer_is_not_asked_for_again() -> None:
    broker = Broker(TopicAuthorizationFailedError.errno)
    with pytest.raises(TopicAuthorizationFailedError):
        await topics._described(broker, [])
    assert broker.asked == 1
