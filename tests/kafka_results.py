"""What the shards of a worker wrote, and what they should have written.

The reference is always the embedded engine over exactly the records that a shard took from its partitions.
"""

import asyncio
import io
import pickle
import random
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka import ConsumerRecord, TopicPartition
from kafka_runs import WAIT_MS, taken
from runs import KEY

from stream_app.config import Config, Source, digest
from stream_app.edges import commits, kafka, snapshots
from stream_app.edges.batches import Records
from stream_app.edges.log import Log
from stream_app.flow.decode import Decoder
from stream_app.messages import OUTPUTS, Outputs
from stream_app.pipeline import Pipeline
from stream_app.runners.embedded import Embedded
from stream_app.runners.recovery import Position, decoded, recover, rerun
from stream_app.runners.weaver import Weaver

Entry = tuple[str, str, bytes]  # id, key, value


class Shard(NamedTuple):
    """What one shard wrote: by stream, in order (features: the newest by key), and its state, sealed."""

    streams: dict[str, list[Entry]]
    state: bytes


# what was written


def records(config: Config, stream: str, shard: int) -> list[ConsumerRecord]:
    """All committed records of a stream's partition."""
    return _all_records(config, (stream,), shard)[stream]


def written(config: Config, shard: int) -> Shard:
    """What a shard has committed, and its state as the next owner would recover it."""
    found = _all_records(config, OUTPUTS, shard)
    streams = {stream: [_entry(record) for record in found[stream]] for stream in OUTPUTS}
    streams["features"] = _newest(streams["features"])
    return Shard(streams, recovered(config, shard)[0])


def _all_records(config: Config, streams: tuple[str, ...], shard: int) -> dict[str, list[ConsumerRecord]]:
    async def work() -> dict[str, list[ConsumerRecord]]:
        found = {}
        async with kafka.consumer(config, fetch_max_wait_ms=WAIT_MS) as client:
            for stream in streams:
                place = TopicPartition(kafka.topic(config, stream), shard)
                client.assign([place])
                (begin,) = (await client.beginning_offsets([place])).values()
                (end,) = (await client.end_offsets([place])).values()
                found[stream] = [r async for batch in kafka.read_between(client, place, begin, end) for r in batch]
        return found

    return asyncio.run(work())


def _entry(record: ConsumerRecord) -> Entry:
    headers: dict[str, bytes] = dict(record.headers)
    return headers.get("id", b"").decode(), record.key.decode(), record.value


def recovered(config: Config, shard: int) -> tuple[bytes, Position]:
    """The state behind the last commit, from the newest snapshot and what followed."""

    async def work() -> tuple[bytes, Position]:
        pipeline = Pipeline(config, shard)
        async with kafka.consumer(config, columns=_inputs(config), fetch_max_wait_ms=WAIT_MS) as client:
            client.assign(_places(config, shard))
            partitions = kafka.cluster(config).partitions
            position = await recover(client, config, pipeline, shard, partitions, KEY)
        return sealed(config, pipeline), position

    return asyncio.run(work())


def _places(config: Config, shard: int) -> list[TopicPartition]:
    streams = (*kafka.inputs(config), "commits", "snapshots")
    return [TopicPartition(kafka.topic(config, stream), shard) for stream in streams]


def _inputs(config: Config) -> list[str]:
    return [kafka.topic(config, stream) for stream in kafka.inputs(config)]


def sealed(config: Config, pipeline: Pipeline) -> bytes:
    """The state as bytes that only depend on its values."""
    state = snapshots.encode(pipeline.snapshot(), config_digest=digest(config), key=KEY)
    plain = _without_identity(snapshots.decode(state, config_digest=digest(config), key=KEY))
    return snapshots.encode(plain, config_digest=digest(config), key=KEY)


def _without_identity(tree: Any) -> Any:
    """Pickles written anew without references: which equal objects are the same one is no part of the state."""
    if isinstance(tree, dict):
        return {name: _flat(part) if name == "pickle" else _without_identity(part) for name, part in tree.items()}
    return [_without_identity(part) for part in tree] if isinstance(tree, list) else tree


def _flat(data: bytes) -> bytes:
    written = io.BytesIO()
    pickler = _Flat(written)
    pickler.fast = True
    pickler.dump(pickle.loads(data))  # of this test
    return written.getvalue()


class _Flat(pickle._Pickler):
    """Sorts sets, and leaves out generators: river's trees hold some of no seed, from which nothing is drawn."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, set):
            return set, (sorted(obj, key=repr),)
        return (random.Random, (0,)) if isinstance(obj, random.Random) else NotImplemented


# what should have been written


def embedded(folder: Path, config: Config, shard: int) -> Shard:
    """The embedded engine over a partition's records, as far as the worker took them; they must stand on lines."""
    upto = taken(config).get(shard, dict.fromkeys(kafka.inputs(config), 0))
    given: dict[str, str] = {}
    for stream in kafka.inputs(config)[:-1]:
        values = [record.value for record in records(config, stream, shard) if record.offset < upto[stream]]
        file = folder / f"{config.name}-{shard}-{stream}.jsonl"
        file.write_bytes(b"".join(value + b"\n" for value in values))
        given[stream] = str(file)
    if not upto["events"]:  # no key of this partition
        return _shard(config, Pipeline(config, shard), [])
    source = Source(events=given["events"], labels=given.get("labels"), format="jsonl")
    return embedded_over(folder, msgspec.structs.replace(config, source=source), shard)


def embedded_over(folder: Path, config: Config, shard: int = 0) -> Shard:
    """The embedded engine over the configuration's files."""
    state = folder / f"{config.name}-{shard}.db"
    state.unlink(missing_ok=True)
    with Log(state, write=True) as log:
        engine = Embedded(config, log, key=KEY, shard=shard)
        engine.run(lambda _: None)
        streams = {stream: [(r.id, r.key, r.value) for r in log.read(stream)] for stream in OUTPUTS}
        for stream in ("predictions", "outcomes"):  # on Kafka these say it in their value
            streams[stream] = [("", key, value) for _, key, value in streams[stream]]
        streams["features"].sort()
        return Shard(streams, sealed(config, engine.pipeline))


def direct(config: Config, shard: int) -> Shard:
    """The pipeline over all records of a partition of the events, whatever their offsets and bytes."""
    rows = decoded(Decoder(config, "events", None), Records.of(records(config, "events", shard)))
    nothing, pipeline = Decoder(config, "labels", None)(0, []), Pipeline(config, shard)
    tape = Weaver(rows, nothing, config.engine.ahead_ms).pull(events_ended=True, labels_ended=True)
    return _shard(config, pipeline, [pipeline.handle(tape)])


def replayed(config: Config, shard: int) -> Shard:
    """What all commits of a shard caused, once more: the records in the order that was recorded."""

    async def work() -> Shard:
        pipeline = Pipeline(config, shard)
        async with kafka.consumer(config, columns=_inputs(config), fetch_max_wait_ms=WAIT_MS) as client:
            client.assign(_places(config, shard))
            found = await commits.newest(client, config, shard)
            assert found is not None
            caused = [done.out async for done in rerun(client, config, pipeline, shard, -1, found[0] + 1)]
        return _shard(config, pipeline, caused)

    return asyncio.run(work())


def _shard(config: Config, pipeline: Pipeline, caused: list[Outputs]) -> Shard:
    streams: dict[str, list[Entry]] = {stream: [] for stream in OUTPUTS}
    for out in caused:
        for message in out.messages:
            if message.stream in streams:  # not the archive: pickles of equal models may differ
                streams[message.stream].append((message.id, message.key, message.value))
        for stream, parts in (("predictions", out.predictions), ("outcomes", out.outcomes)):
            for part in parts:
                streams[stream] += [("", key, value) for key, value in zip(part.id, part.values(), strict=True)]
    streams["features"] = _newest(streams["features"])
    return Shard(streams, sealed(config, pipeline))


def _newest(entries: list[Entry]) -> list[Entry]:
    return sorted({entry[1]: entry for entry in entries}.values())


def assert_equal(actual: Shard, expected: Shard) -> None:
    """Nothing lost, repeated or out of order, and the same state."""
    for stream in OUTPUTS:
        found, wanted = actual.streams[stream], expected.streams[stream]
        if found != wanted:
            at = next((i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), -1)
            pair = (found[at], wanted[at]) if at >= 0 else ()
            raise AssertionError(f"{stream}: {len(found)} records, not {len(wanted)}; first difference at {at}: {pair}")
    assert actual.state == expected.state, "the states differ"
