"""The workers' settings as Faust's."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust import SASLCredentials, SSLCredentials

from streamsampler.config import ConfigError, Settings
from topologies.app import app_options, brokers, web_address
from topologies.errors import TopologyError
from topologies.preparing import check, prepare
from topologies.security import credentials


def settings(kafka: dict[str, str] | None = None, **topology: Any) -> Settings:
    return Settings.model_validate(
        {"kafka": {"bootstrap.servers": "b:1", **(kafka or {})}, "topology": topology}
    )


@pytest.mark.parametrize(
    ("bootstrap", "expected"),
    [
        ("kafka:9092", ["aiokafka://kafka:9092"]),
        ("a:1, b:2", ["aiokafka://a:1", "aiokafka://b:2"]),
        ("kafka", ["aiokafka://kafka:9092"]),
        ("SASL_SSL://kafka:9093", ["aiokafka://kafka:9093"]),
        ("[::1]:9094", ["aiokafka://[::1]:9094"]),
        ("[::1]", ["aiokafka://[::1]:9092"]),
    ],
)
def test_addresses_of_brokers(bootstrap: str, expected: list[str]) -> None:
    assert brokers(bootstrap) == expected


def test_an_app_has_its_own_id_and_folder(tmp_path: Path) -> None:
    options = app_options(settings(path=tmp_path, web_address="0.0.0.0:7000"), "rates")
    assert options["id"] == "streamsampler-rates"
    assert options["datadir"] == str(tmp_path / "rates")
    assert options["store"] == "rocksdb://?driver=rocksdict"
    assert (options["web_bind"], options["web_port"]) == ("0.0.0.0", 7000)
    assert options["processing_guarantee"] == "at_least_once"
    assert "broker_credentials" not in options


def test_without_a_folder_tables_are_in_memory() -> None:
    options = app_options(settings(path=None), "rates")
    assert options["store"] == "memory://"
    assert "datadir" not in options


def test_the_session_timeout_is_the_workers() -> None:
    options = app_options(settings({"session.timeout.ms": "6000"}), "rates")
    assert options["broker_session_timeout"] == 6
    assert options["broker_heartbeat_interval"] == 2


@pytest.mark.parametrize("timeout", ["", "6 s", "6000.5", "-1", "0", "\N{SUPERSCRIPT TWO}"])
def test_a_session_timeout_that_is_none_is_refused(timeout: str) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.session\.timeout\.ms is .*: expected milli"):
        app_options(settings({"session.timeout.ms": timeout}), "rates")


@pytest.mark.parametrize("address", ["", "6066", "host:", "host:0", "host:65536", "host:x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"topology\.web_address"):
        web_address(address)


def test_an_address_may_be_of_ipv6() -> None:
    assert web_address("[::1]:6066") == ("::1", 6066)


def test_plain_text_has_no_credentials() -> None:
    assert credentials({}) is None
    assert credentials({"security.protocol": "PLAINTEXT"}) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["sasl_plaintext", "SASL_SSL"])
def test_a_user_and_a_password(mechanism: str, protocol: str) -> None:
    found = credentials(
        {
            "security.protocol": protocol,
            "sasl.mechanisms": mechanism,
            "sasl.username": "u",
            "sasl.password": "p",
        }
    )
    assert isinstance(found, SASLCredentials)
    assert (found.username, found.password) == ("u", "p")
    assert found.mechanism.value == mechanism
    assert found.protocol.value == protocol.upper()


def test_tls_checks_names_unless_told_not_to() -> None:
    found = credentials({"security.protocol": "ssl"})
    assert isinstance(found, SSLCredentials)
    assert found.context.check_hostname
    assert found.context.verify_mode is ssl.CERT_REQUIRED
    lax = credentials({"security.protocol": "ssl", "ssl.endpoint.identification.algorithm": "none"})
    assert isinstance(lax, SSLCredentials)
    assert not lax.context.check_hostname
    assert lax.context.verify_mode is ssl.CERT_REQUIRED
    blind = credentials(
        {"security.protocol": "ssl", "enable.ssl.certificate.verification": "false"}
    )
    assert isinstance(blind, SSLCredentials)
    assert blind.context.verify_mode is ssl.CERT_NONE


SASL = {"security.protocol": "sasl_ssl", "sasl.username": "u", "sasl.password": "p"}


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"security.protocol": "tls"}, r"kafka\.security\.protocol is 'tls'"),
        (SASL, "GSSAPI, which a topology cannot use"),
        ({**SASL, "sasl.mechanism": "OAUTHBEARER"}, "method is default, which a topology cannot"),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN"}, r"sasl\.username is miss"),
        ({"ssl.keystore.location": "f"}, r"kafka\.ssl\.keystore\.location cannot be used"),
        ({"sasl.oauthbearer.config": "f"}, r"kafka\.sasl\.oauthbearer\.config cannot be used"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/nowhere"}, "cannot be used: "),
        ({"security.protocol": "ssl", "ssl.ca.pem": "no pem"}, "cannot be used: "),
    ],
)
def test_what_has_no_counterpart_is_refused(properties: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        credentials(properties)


@pytest.mark.parametrize(
    ("existing", "expected", "named"),
    [
        ({}, None, r"do not exist: streamsampler\.sketches, streamsampler\.tables"),
        ({"streamsampler.sketches": 4}, None, r"do not exist: streamsampler\.tables;"),
        ({"streamsampler.sketches": 4, "streamsampler.tables": 1}, 8, "table_partitions says 8"),
        (
            {"streamsampler.sketches": 4, "streamsampler.tables": 1, "log": 2},
            None,
            "log has 2 partitions and the sketches topic streamsampler.sketches has 4",
        ),
    ],
)
def test_topics_that_do_not_fit_are_refused(
    existing: dict[str, int], expected: int | None, named: str
) -> None:
    with pytest.raises(TopologyError, match=named):
        check(settings(table_partitions=expected), "log", existing)


def test_topics_that_fit() -> None:
    existing = {"streamsampler.sketches": 4, "streamsampler.tables": 1}
    check(settings(table_partitions=4), "log", existing)
    check(settings(), "log", {**existing, "log": 4})


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TopologyError, match=r"cannot be made: .*; set topology\.path"):
        prepare(settings(path=tmp_path / "file"), "rates", "log")
