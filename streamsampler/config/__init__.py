"""Settings: one typed model from a YAML file, the environment and flags."""

from streamsampler.config.loading import (
    OWNED_PROPERTIES,
    ConfigError,
    Traced,
    load_settings,
    trace_settings,
)
from streamsampler.config.sections import Forward, Http, Log, Store, Telemetry, Topics
from streamsampler.config.settings import Settings, is_secret

__all__ = [
    "OWNED_PROPERTIES",
    "ConfigError",
    "Forward",
    "Http",
    "Log",
    "Settings",
    "Store",
    "Telemetry",
    "Topics",
    "Traced",
    "is_secret",
    "load_settings",
    "trace_settings",
]
