"""A peer's worker: aiokafka with its default of committing offsets by itself, every 5 s."""

import asyncio
import json
import os

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers.sentiment import sentiment
from benchmarks.peers.with_aiokafka import REQUESTS, RESULTS


async def main() -> None:
    """Answer requests until killed."""
    servers = os.environ["KAFKA_BOOTSTRAP_SERVER"]
    async with (
        AIOKafkaConsumer(
            REQUESTS, bootstrap_servers=servers, group_id="peer-worker", auto_offset_reset="earliest"
        ) as consumer,
        AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True) as producer,
    ):
        async for message in consumer:
            asked = json.loads(message.value)
            answer = json.dumps({"id": asked["id"], "label": sentiment(asked["text"])}).encode()
            await producer.send_and_wait(RESULTS, answer, key=asked["id"].encode())


if __name__ == "__main__":
    asyncio.run(main())
