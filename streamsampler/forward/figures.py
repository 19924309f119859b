"""What a forwarder counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, ProcessCollector

from streamsampler.forward.answers import Fate

PREFIX = "streamsampler_forward_"


class Figures:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.records = self._counter("records", "Records that the endpoint has accepted.")
        self.bytes = self._counter("sent_bytes", "Bytes of them, before compression.")
        self.rejected = self._counter(
            "rejected_spans", "Spans of accepted requests that the endpoint says it does not take."
        )
        self.dead_letters = self._counter(
            "dead_letters", "Records that the endpoint refused for good, on the dead-letter topic."
        )
        self._requests = Counter(
            f"{PREFIX}requests_total",
            "Requests, by what became of them.",
            ["result"],
            registry=self.registry,
        )
        for fate in Fate:
            self._requests.labels(fate.value)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"{PREFIX}{name}_total", meaning, registry=self.registry)

    def answered(self, fate: Fate) -> None:
        """Count a request.

        Args:
            fate: What became of it.
        """
        self._requests.labels(fate.value).inc()
