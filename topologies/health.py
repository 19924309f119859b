"""How the traced system is, from all traces and not only from those that are kept.

Published under ``health/<shard>`` as msgpack ``[1, "health", version, figures]``, and shown as JSON
under ``/health/``, and for Prometheus under ``/metrics``: the shards that this instance owns.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgpack
from faust.web import Request, Response, View

from streamsampler.config import Settings
from streamsampler.estimates import summaries
from streamsampler.estimates.summaries import INTERVAL_MS, GroupSummary, Services, Summary, rows_of
from topologies.app import App, app_from_environment
from topologies.durations import Durations
from topologies.entries import Entry
from topologies.prometheus import exposition
from topologies.publishing import assemble, intervals
from topologies.red import Figures, group_figures, pair_figures, service_figures, services_of
from topologies.shards import Shards

NAME: Final = "health"
KINDS: Final = ("groups", "services")
PARTS: Final = ("groups", "services", "pairs")
NOT_FOUND: Final = 404


class Health:
    """The groups, services and pairs of one shard.

    Args:
        shard: Its number.
        window: Intervals in the window.
    """

    def __init__(self, shard: int, window: int) -> None:
        self._shard = shard
        self._seconds = window * INTERVAL_MS / 1_000
        self._groups = Durations()
        self._services: dict[Entry, Services] = {}
        self._newest: int | None = None

    def put(self, entry: Entry, summary: Summary) -> None:
        """Take a summary in, instead of the one that came under this identity before."""
        if summary.kind == "groups":
            self._groups.put(entry, rows_of(GroupSummary, summary))
        else:
            self._services[entry] = services_of(summary.body)
        newest = entry.interval if self._newest is None else self._newest
        self._newest = max(newest, entry.interval)

    def forget(self, entry: Entry) -> None:
        """Let a summary go; nothing happens where there is none."""
        self._groups.forget(entry)
        self._services.pop(entry, None)

    def closing(self) -> Iterator[tuple[Entry, Summary]]:
        """Tell nothing: the entries are all there is to keep."""
        return iter(())

    def figures(self) -> dict[str, list[Figures]]:
        """Tell all figures, by what they are of."""
        bodies = [self._services[entry] for entry in sorted(self._services)]
        return {
            "groups": group_figures(self._groups.sums(), self._seconds),
            "services": service_figures(
                (row for body in bodies for row in body.services), self._seconds
            ),
            "pairs": pair_figures((row for body in bodies for row in body.pairs), self._seconds),
        }

    def tables(self) -> Mapping[bytes, bytes]:
        """Tell the records of the tables topic, key and value."""
        if self._newest is None:
            return {}
        record = [1, NAME, self._newest * INTERVAL_MS, self.figures()]
        return {b"health/%d" % self._shard: msgpack.packb(record)}


def make_app(settings: Settings) -> App:
    """Make the app.

    Args:
        settings: The settings.

    Returns:
        The app, not started.

    Raises:
        ConfigError: Something in them has no counterpart in Faust.
    """
    window = intervals(settings.topology.window_ms)
    shards: Shards[Health] = Shards(
        summaries.unpack,
        summaries.pack,
        dict.fromkeys(KINDS, window),
        lambda shard: Health(shard, window),
    )
    running = assemble(settings, NAME, shards, settings.topology.publish_ms)

    @running.app.page("/health/")
    async def show_all(view: View, _request: Request) -> Response:
        return view.json(_figures(shards, PARTS))

    @running.app.page("/health/{part}/")
    async def show_part(view: View, _request: Request, part: str) -> Response:
        if part not in PARTS:
            return view.json({"error": f"expected one of {', '.join(PARTS)}"}, status=NOT_FOUND)
        return view.json(_figures(shards, (part,)))

    @running.app.page("/metrics")
    async def tell_prometheus(view: View, _request: Request) -> Response:
        figures = _figures(shards, ("groups", "services"))
        text = exposition(figures["groups"], figures["services"])
        return view.text(text.decode(), content_type="text/plain")

    return running.app


def _figures(shards: Shards[Health], parts: Iterable[str]) -> dict[str, Any]:
    """The figures of the owned shards: each group, service and pair stands in one shard only."""
    owned = shards.owned()
    figures = [shards.window(shard).figures() for shard in owned]
    return {"shards": owned, **{part: [row for f in figures for row in f[part]] for part in parts}}


def __getattr__(name: str) -> Any:
    """Make the app when `faust -A topologies.health` asks for it, and not on import."""
    if name == "app":
        return globals().setdefault(name, app_from_environment(__name__))
    raise AttributeError(name)
