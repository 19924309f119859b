"""From the output topic to an OTLP endpoint: kept traces to where they are looked at."""

from streamsampler.forward.loop import run_forwarder

__all__ = ["run_forwarder"]
