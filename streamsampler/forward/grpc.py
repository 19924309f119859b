"""Export requests over gRPC."""

from typing import Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from streamsampler.config import Forward
from streamsampler.forward.answers import Answer, of_grpc, of_response
from streamsampler.forward.http import Send

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
DETAILS: Final = "grpc-status-details-bin"


def target_of(endpoint: str) -> tuple[str, bool]:
    """Tell where requests go.

    Args:
        endpoint: ``host:port``, or a URL with ``http`` or ``https``.

    Returns:
        Host and port, and whether the endpoint's scheme asks for no TLS.
    """
    scheme, separator, rest = endpoint.rpartition("://")
    return rest.rstrip("/"), bool(separator) and scheme == "http"


def grpc_sender(settings: Forward) -> Send:
    """Make what sends requests over gRPC.

    Args:
        settings: Where, and how.

    Returns:
        Takes a serialized request; tells what became of it.
    """
    target, plain = target_of(settings.endpoint)
    compression = (
        grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
    )
    channel = (
        grpc.insecure_channel(target, compression=compression)
        if plain or settings.tls.insecure
        else grpc.secure_channel(target, _credentials(settings), compression=compression)
    )
    export = channel.unary_unary(
        METHOD,
        request_serializer=bytes,  # it is one already
        response_deserializer=ExportTraceServiceResponse.FromString,
    )
    metadata = [(name.lower(), value) for name, value in settings.headers.items()]

    def send(request: bytes) -> Answer:
        try:
            response = export(request, timeout=settings.timeout_ms / 1_000, metadata=metadata)
        except grpc.RpcError as error:
            details = dict(error.trailing_metadata() or ()).get(DETAILS, b"")
            return of_grpc(error.code(), error.details() or "", details)
        return of_response(response)

    return send


def _credentials(settings: Forward) -> grpc.ChannelCredentials:
    files = (settings.tls.ca_file, settings.tls.key_file, settings.tls.cert_file)
    return grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))
