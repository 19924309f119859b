"""What every app here is: an agent that takes summaries in, and a timer that publishes.

1. A record of the sketches topic is put into the table, under its identity, and into memory.
2. Faust writes the entry to the changelog, and commits the record's offset after that.
3. Every so often each owned shard's tables go to the tables topic, where they differ from what this
   instance wrote last.
4. When shards move, memory is dropped; when Faust has the table back, memory is made from it.

So a crash at any point costs time: whoever takes a shard over reads the same entries again, and the
tables that follow from them are the same.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from faust.transport.consumer import Consumer
from faust.types import TP
from faust.web import Request, Response, View

from streamsampler.config import Settings
from streamsampler.estimates.summaries import INTERVAL_MS
from topologies.app import TABLE, App
from topologies.progress import Progress
from topologies.reading import Reading
from topologies.shards import Shards, Taken

_log = structlog.get_logger("topologies")

TELL_SECONDS: Final = 60.0
"""How often the log says how an app gets on."""
ENDS_SECONDS: Final = 10.0
UNREADABLE_LOGGED: Final = 10
"""So many records that nobody can read are named in the log; after that they are only counted."""
UNAVAILABLE: Final = 503


@dataclass(slots=True)
class Running:
    """An app and what it has in hand.

    Attributes:
        app: Faust's.
        shards: What it knows.
        progress: How it gets on.
        figures: What else is said of it.
        reading: How far its shards have been read.
        written: What this instance last wrote under each key of the tables topic.
        recovered: Whether the table is whole, so that what follows from it may be published.
    """

    app: App
    shards: Shards[Any]
    progress: Progress
    figures: Callable[[], Mapping[str, int]] = dict
    reading: Reading = field(default_factory=Reading)
    written: dict[bytes, bytes] = field(default_factory=dict)
    recovered: bool = False


def intervals(window_ms: int) -> int:
    """Tell how many intervals of stream time a window has.

    Args:
        window_ms: Its length.

    Returns:
        At least 1.
    """
    return max(1, -(-window_ms // INTERVAL_MS))


def monotonic_ms() -> float:
    """Read the clock that `Progress` goes by."""
    return time.monotonic() * 1_000


def assemble(
    settings: Settings,
    name: str,
    shards: Shards[Any],
    every_ms: int,
    figures: Callable[[], Mapping[str, int]] = dict,
) -> Running:
    """Make an app of shards.

    Args:
        settings: Brokers and topics.
        name: Of the topology.
        shards: Empty; the app's from now on.
        every_ms: Wall time between two rounds of publishing.
        figures: Tells what else is said of progress; asked often.

    Returns:
        The app, not started.

    Raises:
        ConfigError: Something in the settings has no counterpart in Faust.
    """
    app = App(settings, name)
    running = Running(app, shards, Progress(monotonic_ms()), figures)
    table = app.Table(TABLE, key_type=bytes, value_type=bytes)
    sketches = _raw_topic(app, settings.topics.sketches)
    tables = _raw_topic(app, settings.topics.tables)

    async def keep(stream: Any) -> None:
        async for event in stream.events():
            take(running, event.message.partition, event.message.offset, event.value, table)

    async def recovered() -> None:
        await seek_begun(app, settings.topics.sketches)
        rebuild(running, table, settings.topics.sketches)

    async def revoked(*_: Any, **__: Any) -> None:
        running.recovered = False
        running.written.clear()
        running.reading.drop()
        shards.drop()

    async def publish(*_: Any) -> None:
        if running.recovered and not app.rebalancing:
            await publish_round(running, tables)

    async def tell(*_: Any) -> None:
        if running.recovered and not app.rebalancing:
            await look_for_unread(running, settings.topics.sketches)
        _log.info("progress", topology=name, **_told(running, monotonic_ms()))

    app.agent(sketches, name=f"{name}-keep")(keep)
    table.on_recover(recovered)
    app.on_partitions_revoked.connect(revoked, weak=False)
    app.timer(every_ms / 1_000, name=f"{name}-publish")(publish)
    app.timer(TELL_SECONDS, name=f"{name}-tell")(tell)
    _add_progress_page(running)
    return running


def _raw_topic(app: App, name: str) -> Any:
    return app.topic(
        name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )


def take(running: Running, shard: int, offset: int, value: bytes | None, table: Any) -> None:
    """Take one record in; what nobody can read is counted, named in the log and passed over.

    Args:
        running: The app.
        shard: The partition of the sketches topic.
        offset: Of the record.
        value: Its value.
        table: The app's.
    """
    progress = running.progress
    progress.records += 1
    running.reading.took(shard, offset)
    if running.shards.take(shard, value or b"", table) is not Taken.UNDECODABLE:
        return
    progress.undecodable += 1
    if progress.undecodable <= UNREADABLE_LOGGED:
        _log.warning("record not readable", shard=shard, offset=offset, seen=progress.undecodable)


def rebuild(running: Running, table: Any, sketches: str) -> None:
    """Make memory anew from a table that is whole.

    Args:
        running: The app.
        table: The app's.
        sketches: The topic whose partitions are the shards.
    """
    owned = {tp.partition for tp in _assignment(running.app) if tp.topic == sketches}
    unreadable = running.shards.rebuild(owned, table.items())
    running.progress.undecodable += unreadable
    running.recovered = True
    _log.info("shards owned", shards=sorted(owned), entries=len(table), unreadable=unreadable)


async def seek_begun(app: App, sketches: str) -> None:
    """Go back to the beginning of shards of which nothing has been committed yet.

    While shards move, Faust drops records that it has fetched, and then goes back to what is
    committed; but its client does not go back to an offset of 0, and without this those records
    would be lost.

    Args:
        app: The app, while its flow stands still.
        sketches: The topic whose partitions are the shards.
    """
    owned = {tp for tp in _assignment(app) if tp.topic == sketches}
    if not owned:
        return
    consumer = app.consumer
    assert isinstance(consumer, Consumer)
    committed = await consumer.seek_to_committed()
    begun = {tp for tp in owned if (committed.get(tp) or 0) <= 0}
    if begun:
        for tp, offset in (await consumer.earliest_offsets(*begun)).items():
            await consumer.seek(tp, offset or 0)


def _assignment(app: App) -> set[TP]:
    owned: set[TP] = app.consumer.assignment()
    return owned


async def look_for_unread(running: Running, sketches: str) -> None:
    """Name the shards in the log from which nothing comes although something was written to them.

    Args:
        running: The app; nothing happens where the brokers do not say how long the shards are.
        sketches: The topic whose partitions are the shards.
    """
    owned = {tp for tp in _assignment(running.app) if tp.topic == sketches}
    if not owned:
        return
    try:
        asked = running.app.consumer.highwaters(*owned)
        ends = await asyncio.wait_for(asked, ENDS_SECONDS)
    except Exception as error:  # noqa: BLE001 - this is a look from aside, and stops nothing
        _log.warning("ends of shards not known", error=repr(error))
        return
    if not running.recovered:
        return  # they have moved meanwhile
    unread = running.reading.compare({tp.partition: end for tp, end in ends.items()})
    if unread:
        _log.warning("shards not read", shards=unread)


async def publish_round(running: Running, topic: Any) -> None:
    """Write what follows from the owned shards, where it is news.

    Args:
        running: The app; a table that could not be written is tried again next time.
        topic: The tables topic.
    """
    progress, failed = running.progress, False
    for shard in running.shards.owned():
        try:
            await _publish(running, shard, topic)
        except Exception as error:  # noqa: BLE001 - whatever it is, other shards' tables go out
            progress.refused += 1
            failed = True
            _log.warning("tables not written", shard=shard, error=repr(error))
    if failed:
        return  # a round that gets nowhere is no progress
    progress.rounds += 1
    progress.round_ms = monotonic_ms()


async def _publish(running: Running, shard: int, topic: Any) -> None:
    progress = running.progress
    for key, value in running.shards.tables(shard).items():
        if running.written.get(key) == value:
            continue
        await (await topic.send(key=key, value=value))
        running.written[key] = value
        progress.tables += 1
        progress.published_ms = monotonic_ms()


def _add_progress_page(running: Running) -> None:
    @running.app.page("/progress")
    async def show(view: View, _request: Request) -> Response:
        now_ms = monotonic_ms()
        status = UNAVAILABLE if running.progress.stalled(now_ms) else 200
        answer = {"topology": running.app.topology, "shards": running.shards.owned()}
        return view.json({**answer, **_told(running, now_ms)}, status=status)


def _told(running: Running, now_ms: float) -> Mapping[str, Any]:
    unread = {"unread": running.reading.unread()}
    return {**running.progress.answer(now_ms), **unread, **running.figures()}
