"""All that a platform wrote, as text: logs and files, Kafka's topics, MongoDB's documents."""

from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from pymongo import MongoClient

from deploy.local import stack
from tests.support.space import read_all


async def everything(platform: stack.LocalPlatform) -> dict[str, str]:
    """By the place where it stands: ``file …``, ``topic …``, ``collection …``."""
    found = {f"file {path}": text for path, text in _files(platform.folder).items()}
    url, prefix = platform.variables["KAFKA_URL"], platform.variables["SALUR_TOPIC_PREFIX"]
    for topic in await _topics(url, prefix):
        records = await read_all(url, prefix, topic)
        found[f"topic {topic}"] = "\n".join(str(record) for record in records)
    return found | _documents(
        platform.variables["MONGO_URL"], platform.variables["SALUR_DATABASE_PREFIX"]
    )


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8", errors="replace")
        for path in folder.rglob("*")
        if path.is_file()
    }


async def _topics(url: str, prefix: str) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=url)
    await admin.start()
    try:
        names = await admin.list_topics()
    finally:
        await admin.close()
    return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _documents(url: str, prefix: str) -> dict[str, str]:
    found = {}
    with MongoClient[dict[str, Any]](url) as mongo:
        for database in mongo.list_database_names():
            if database.startswith(prefix):
                for name in mongo[database].list_collection_names():
                    rows = mongo[database][name].find()
                    found[f"collection {database}.{name}"] = "\n".join(map(str, rows))
    return found
