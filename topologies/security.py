"""librdkafka's properties for TLS and SASL as Faust's credentials: one file serves both."""

import ssl
from collections.abc import Mapping
from typing import Final

from faust import SASLCredentials, SSLCredentials
from faust.auth import OAuthCredentials
from faust.types.auth import CredentialsT

from streamsampler.config import ConfigError
from topologies.tokens import TOKEN_PROPERTIES, ClientTokens

PLAINTEXT: Final = "plaintext"
PROTOCOLS: Final = frozenset({PLAINTEXT, "ssl", "sasl_plaintext", "sasl_ssl"})
OAUTH: Final = "OAUTHBEARER"
MECHANISMS: Final = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTH})
MAPPED: Final = TOKEN_PROPERTIES | frozenset(
    {
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.endpoint.identification.algorithm",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
    }
)
SECRETIVE: Final = ("ssl.", "sasl.", "enable.ssl.", "enable.sasl.")
"""What properties begin with that must not be passed over in silence."""


def credentials(properties: Mapping[str, str]) -> CredentialsT | None:
    """Find how the apps speak to the brokers.

    Args:
        properties: librdkafka's, as under `kafka` in the settings.

    Returns:
        Faust's credentials; None for plain text.

    Raises:
        ConfigError: A property has no counterpart in Faust's client, or does not fit the others.
    """
    protocol = properties.get("security.protocol", PLAINTEXT).lower()
    if protocol not in PROTOCOLS:
        raise ConfigError(
            f"kafka.security.protocol is {protocol!r}: expected one of "
            f"{', '.join(sorted(PROTOCOLS))}."
        )
    _refuse_unmapped(properties)
    context = _tls(properties) if protocol in {"ssl", "sasl_ssl"} else None
    if protocol.startswith("sasl"):
        mechanism = _mechanism(properties)
        if mechanism == OAUTH:
            return OAuthCredentials(oauth_cb=ClientTokens(properties), ssl_context=context)
        return SASLCredentials(
            username=_needed(properties, "sasl.username"),
            password=_needed(properties, "sasl.password"),
            mechanism=mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def _refuse_unmapped(properties: Mapping[str, str]) -> None:
    for name in sorted(properties):
        if name == "enable.ssl.certificate.verification" or name in MAPPED:
            continue
        if name.startswith(SECRETIVE):
            raise ConfigError(
                f"kafka.{name} cannot be used by a topology: Faust's client has nothing of the "
                f"kind. It takes {', '.join(sorted(MAPPED))}; give the topology a file of settings "
                "with those."
            )


def _mechanism(properties: Mapping[str, str]) -> str:
    name = properties.get("sasl.mechanism") or properties.get("sasl.mechanisms") or "GSSAPI"
    if name not in MECHANISMS:
        raise ConfigError(
            f"kafka.sasl.mechanism is {name}, which a topology cannot use (where it is not set, "
            f"librdkafka takes GSSAPI): expected one of {', '.join(sorted(MECHANISMS))}."
        )
    return name


def _needed(properties: Mapping[str, str], name: str) -> str:
    if name not in properties:
        raise ConfigError(f"kafka.{name} is missing; kafka.security.protocol asks for SASL.")
    return properties[name]


def _tls(properties: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=properties.get("ssl.ca.location"), cadata=properties.get("ssl.ca.pem")
        )
        certificate = properties.get("ssl.certificate.location")
        if certificate is not None:
            context.load_cert_chain(
                certificate, properties.get("ssl.key.location"), properties.get("ssl.key.password")
            )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"the files of kafka.ssl.ca.location, kafka.ssl.certificate.location and "
            f"kafka.ssl.key.location cannot be used: {error}."
        ) from error
    if properties.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if properties.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
