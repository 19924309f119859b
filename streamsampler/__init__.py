"""A tail sampler for OpenTelemetry traces that lives in Kafka."""

__version__ = "0.1.0"
