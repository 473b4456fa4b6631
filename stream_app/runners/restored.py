"""A pipeline as the last commit left it, to be looked at: nothing is written and nothing goes on."""

from pathlib import Path

from aiokafka import TopicPartition

from stream_app.config import Config, digest
from stream_app.edges import kafka, snapshots, subscriber
from stream_app.edges.log import Log
from stream_app.errors import DriftlineError
from stream_app.pipeline import Pipeline
from stream_app.runners.recovery import recover


def of_log(config: Config, path: Path, key: bytes) -> Pipeline:
    """That of the log in a file; StateError if it is not readable, or of another configuration."""
    pipeline = Pipeline(config, key=key)
    with Log(path) as log:
        saved = log.load()
    if saved is not None:
        pipeline.restore(snapshots.decode(saved.state, config_digest=digest(config), key=key, where=str(path)))
    return pipeline


async def of_shard(config: Config, shard: int, key: bytes) -> Pipeline:
    """That of one shard over Kafka: from its newest snapshot and what was taken since."""
    partitions = await subscriber.partitions(config, "commits")
    if shard not in [place.partition for place in partitions]:
        raise DriftlineError(f"{config.name} has {len(partitions)} shards, from 0: there is no shard {shard}")
    streams = (*kafka.inputs(config), "commits", "snapshots")
    pipeline = Pipeline(config, shard, key)
    columns = [kafka.topic(config, stream) for stream in kafka.inputs(config)]
    async with kafka.consumer(config, columns=columns) as client:
        client.assign([TopicPartition(kafka.topic(config, stream), shard) for stream in streams])
        await recover(client, config, pipeline, shard, len(partitions), key)
    return pipeline
