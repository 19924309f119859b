"""A Faust app from the settings of the workers: same brokers, same credentials, same topics."""

import asyncio
import importlib
import os
from pathlib import Path
from typing import Any, Final

import faust

from streamsampler.config import ConfigError, Settings, load_settings
from topologies.preparing import LARGEST_RECORD_BYTES, changelog_name, folder, prepare
from topologies.security import credentials

CONFIG_VARIABLE: Final = "STREAMSAMPLER_CONFIG"
"""The environment variable that names the settings where `faust -A` runs an app."""
TABLE: Final = "published"
"""Each app has one table: what workers published, by identity."""
DEFAULT_PORT: Final = 9092
SESSION_MS: Final = "10000"
"""How long an instance that was killed keeps its shards; Faust's own 60 s would be a long pause."""
HEARTBEAT_SHARE: Final = 3


class App(faust.App):
    """A Faust app that looks after its topics before it begins."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.topology = name
        super().__init__(**app_options(settings, name))

    async def on_first_start(self) -> None:
        """Make the changelog before Faust looks for it, also under Faust's own command."""
        changelog = changelog_name(app_id(self), TABLE)
        await asyncio.to_thread(prepare, self.settings, self.topology, changelog)
        await super().on_first_start()


def app_id(app: faust.App) -> str:
    """Tell an app's id as it stands in the names of its group and topics."""
    identity: str = app.conf.id
    return identity


def app_options(settings: Settings, name: str) -> dict[str, Any]:
    """Translate the settings.

    Args:
        settings: The workers' settings.
        name: Of the topology.

    Returns:
        The arguments of `faust.App`.

    Raises:
        ConfigError: Something in them has no counterpart in Faust.
    """
    host, port = web_address(settings.topology.web_address)
    session_ms = _session_ms(settings.kafka.get("session.timeout.ms", SESSION_MS))
    options: dict[str, Any] = {
        "id": f"{settings.group_id}-{name}",
        "broker": brokers(settings.bootstrap),
        "broker_credentials": credentials(settings.kafka),
        "broker_client_id": f"streamsampler-{name}",
        "broker_session_timeout": session_ms / 1000,
        "broker_heartbeat_interval": session_ms / 1000 / HEARTBEAT_SHARE,
        "broker_max_poll_records": 500,
        "producer_max_request_size": LARGEST_RECORD_BYTES,
        # What was read and not committed is read again: puts make that harmless.
        "processing_guarantee": "at_least_once",
        "consumer_auto_offset_reset": "earliest",
        "key_serializer": "raw",
        "value_serializer": "raw",
        # The only topics are ours: made beforehand, with settings that Faust does not know of.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "autodiscover": False,
        "worker_redirect_stdouts": False,
        "web_bind": host,
        "web_host": host,
        "web_port": port,
        **_store(folder(settings, name)),
    }
    return {key: value for key, value in options.items() if value is not None}


def _session_ms(value: str) -> int:
    text = value.strip()
    if not (text.isascii() and text.isdecimal()) or int(text) < HEARTBEAT_SHARE:
        raise ConfigError(
            f"kafka.session.timeout.ms is {value!r}: expected milliseconds, such as {SESSION_MS}."
        )
    return int(text)


def _store(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {"store": "memory://"}
    return {"store": "rocksdb://?driver=rocksdict", "datadir": str(path)}


def brokers(bootstrap: str) -> list[str]:
    """Make Faust's addresses of librdkafka's.

    Args:
        bootstrap: ``host:port`` each, between commas; the port may be missing.

    Returns:
        A URL each.
    """
    hosts = [part.strip().rpartition("://")[2] for part in bootstrap.split(",")]
    return [f"aiokafka://{_with_port(host)}" for host in hosts if host]


def _with_port(host: str) -> str:
    port = host.rpartition(":")[2]
    return host if port.isdecimal() and host != port else f"{host}:{DEFAULT_PORT}"


def web_address(address: str) -> tuple[str, int]:
    """Take an address apart.

    Args:
        address: ``host:port``.

    Returns:
        Host and port.

    Raises:
        ConfigError: It is none.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65_536:
        raise ConfigError(
            f"topology.web_address is {address!r}: expected host:port, such as 127.0.0.1:6066."
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def make_app(module: str, settings: Settings) -> App:
    """Make the app of a module.

    Args:
        module: Such as ``topologies.thresholds``; its `make_app` makes the app.
        settings: The settings.

    Returns:
        The app, not started.

    Raises:
        ConfigError: Something in the settings has no counterpart in Faust.
    """
    app = importlib.import_module(module).make_app(settings)
    assert isinstance(app, App)
    return app


def app_from_environment(module: str) -> App:
    """Make the app of a module for `faust -A`.

    Args:
        module: Such as ``topologies.thresholds``.

    Returns:
        The app, with settings from the file that `STREAMSAMPLER_CONFIG` names and the environment.

    Raises:
        ConfigError: The settings cannot be used.
    """
    file = os.environ.get(CONFIG_VARIABLE)
    return make_app(module, load_settings(Path(file) if file else None))
