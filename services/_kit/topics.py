"""Topics are made from the catalogue, and what guards them is compared at start."""

import asyncio
import time

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Response

from contracts import catalog
from services._kit.kafka import REQUEST_BYTES_MAX
from services._kit.settings import PlatformSettings, SettingsError

log = structlog.get_logger()

RETENTION_MS = 7 * 86_400_000
SEGMENT_MS = 86_400_000
_DAY_MS = 86_400_000
_KNOWN_WITHIN_S = 10.0
_LOOK_AGAIN_S = 0.05


async def ensure(settings: PlatformSettings) -> None:
    """Make the topics that are missing, and check that the inbox outlives each of them.

    Raises:
        KafkaError: no broker answers.
        SettingsError: a topic keeps messages longer than the inbox remembers them.
    """
    names = catalog.topics()
    wanted = dict.fromkeys(names, settings.topic_partitions)
    wanted |= {name + catalog.DEAD_SUFFIX: 1 for name in names}
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_url, request_timeout_ms=10_000)
    try:
        await admin.start()
        present = set(await admin.list_topics())
        missing = [
            NewTopic(
                settings.topic_prefix + name,
                partitions,
                settings.topic_replication,
                topic_configs={
                    "retention.ms": str(RETENTION_MS),
                    "segment.ms": str(SEGMENT_MS),
                    "min.insync.replicas": str(min(2, settings.topic_replication)),
                },
            )
            for name, partitions in wanted.items()
            if settings.topic_prefix + name not in present
        ]
        if missing:
            answer = await admin.create_topics(missing)
            for topic, code, *_ in answer.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise error(topic)
        await _compare(admin, [settings.topic_prefix + name for name in wanted], settings)
    finally:
        await admin.close()


async def _described(admin: AIOKafkaAdminClient, resources: list[ConfigResource]) -> list[Response]:
    """Their settings; a topic that was just made may be unknown to its broker for a moment."""
    give_up = time.monotonic() + _KNOWN_WITHIN_S
    while True:
        answers: list[Response] = await admin.describe_configs(resources)
        errors = [
            for_code(resource[0])(resource[3])
            for answer in answers
            for resource in answer.resources
            if resource[0]
        ]
        if not errors:
            return answers
        late = time.monotonic() > give_up
        if late or not all(isinstance(error, UnknownTopicOrPartitionError) for error in errors):
            raise errors[0]
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _compare(
    admin: AIOKafkaAdminClient, topics: list[str], settings: PlatformSettings
) -> None:
    """Inbox rows outlive ``retention.ms + segment.ms`` of every topic they guard."""
    remembered_ms = settings.inbox_days * _DAY_MS
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    for answer in await _described(admin, resources):
        for resource in answer.resources:
            topic = resource[3]
            entries = {entry[0]: entry[1] for entry in resource[4]}
            kept_ms = int(entries["retention.ms"])
            segment_ms = int(entries["segment.ms"])
            if int(entries["max.message.bytes"]) <= REQUEST_BYTES_MAX:
                raise SettingsError(
                    f"{topic} takes {entries['max.message.bytes']} bytes at most, but batches have "
                    f"up to {REQUEST_BYTES_MAX}: raise the topic's max.message.bytes"
                )
            if kept_ms < 0 or kept_ms + segment_ms > remembered_ms:
                raise SettingsError(
                    f"{topic} keeps messages for {kept_ms} + {segment_ms} ms, but the inbox "
                    f"forgets after {settings.inbox_days} days: raise "
                    f"{settings.variable('inbox_days')} or lower the topic's retention.ms"
                )
