"""A broker behind TLS that allows nobody anything but what an ACL says.

Who somebody is, is told by SASL/SCRAM on one listener, by a client's certificate on the second and
by a token on the third.
"""

import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.kafka_cluster import KafkaCluster, free_ports
from tests.token_endpoint import TokenEndpoint

ADMIN, USER = "admin", "sampler"
PASSWORD = "letmein-please"
MECHANISM = "SCRAM-SHA-512"
CERTIFIED = "CN=certified"
"""Whom the client's certificate is of."""
TOOL_SECONDS = 60
ADMIN_SECONDS = 20


class Right(NamedTuple):
    """What somebody may do.

    Attributes:
        kind: topic, group or transactional id.
        name: Of the resource.
        prefixed: Whether it is the beginning of names.
        operations: Such as Read and Describe.
    """

    kind: str
    name: str
    prefixed: bool
    operations: tuple[str, ...]


KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional id": ResourceType.TRANSACTIONAL_ID,
}


class SecureKafka(KafkaCluster):
    """One broker; its certificate is its own authority."""

    def __init__(self) -> None:
        super().__init__(1)
        self._certificates = TemporaryDirectory(prefix="streamsampler-tls-")
        folder = Path(self._certificates.name)
        self._keys, self.authority, self._trusted = (
            folder / name for name in ("broker.p12", "ca.pem", "trusted.p12")
        )
        store = ("-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", "broker")
        _keytool(
            "-genkeypair", "-keyalg", "RSA", "-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1",
            "-validity", "2", "-keystore", self._keys, *store,
        )  # fmt: skip
        _keytool("-exportcert", "-rfc", "-file", self.authority, "-keystore", self._keys, *store)
        self._certificate, self._key = folder / "client.crt", folder / "client.key"
        _run(
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", f"/{CERTIFIED}", "-out", self._certificate, "-keyout", self._key,
        )  # fmt: skip
        for alias, trusted in (("broker", self.authority), ("client", self._certificate)):
            _keytool(
                "-importcert", "-noprompt", "-file", trusted, "-keystore", self._trusted,
                "-storetype", "PKCS12", "-storepass", PASSWORD, "-alias", alias,
            )  # fmt: skip
        self._mutual_port, self._oauth_port = free_ports(2)

    def client(self, user: str) -> dict[str, str]:
        """librdkafka's properties for a user, but for the address."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(self.authority),
        }

    def certified(self) -> dict[str, str]:
        """librdkafka's properties for who shows a certificate, with the address for that."""
        return {
            "bootstrap.servers": f"127.0.0.1:{self._mutual_port}",
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority),
            "ssl.certificate.location": str(self._certificate),
            "ssl.key.location": str(self._key),
        }

    def authorized(self, endpoint: TokenEndpoint) -> dict[str, str]:
        """librdkafka's properties for who gets tokens somewhere, with the address for that."""
        return {
            **endpoint.properties,
            "bootstrap.servers": f"127.0.0.1:{self._oauth_port}",
            "ssl.ca.location": str(self.authority),
        }

    def admin(self) -> AdminClient:
        """A client that may do everything."""
        return AdminClient({"bootstrap.servers": self.bootstrap, **self.client(ADMIN)})

    def allow(self, user: str, rights: Iterable[Right]) -> None:
        """Let a user do this and nothing else."""
        admin = self.admin()
        who = f"User:{user}"
        every = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type]  # any
            ResourcePatternType.ANY,
            who,
            None,  # type: ignore[arg-type]  # any
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for gone in admin.delete_acls([every]).values():
            gone.result(ADMIN_SECONDS)
        bindings = [
            AclBinding(
                KINDS[right.kind],
                right.name,
                ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL,
                who, "*", AclOperation[_constant(operation)], AclPermissionType.ALLOW,
            )
            for right in rights
            for operation in right.operations
        ]  # fmt: skip
        for made in admin.create_acls(bindings).values():
            made.result(ADMIN_SECONDS)

    def _clean_up(self) -> None:
        super()._clean_up()
        self._certificates.cleanup()

    def _probe(self, address: str) -> Mapping[str, Any]:
        return {"bootstrap.servers": address, "log_level": 0, **self.client(ADMIN)}

    def _format_options(self) -> list[str]:
        users = (f"{MECHANISM}=[name={user},password={PASSWORD}]" for user in (ADMIN, USER))
        return [part for user in users for part in ("--add-scram", user)]

    def _properties(self, broker: int) -> dict[str, str]:
        plain = super()._properties(broker)
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        scram = {name: value.replace("PLAINTEXT", "SASL_SSL") for name, value in plain.items()}
        more = f",MUTUAL://127.0.0.1:{self._mutual_port},OAUTH://127.0.0.1:{self._oauth_port}"
        oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
        return {
            **scram,
            "listeners": scram["listeners"] + more,
            "advertised.listeners": scram["advertised.listeners"] + more,
            "listener.security.protocol.map": (
                "SASL_SSL:SASL_SSL,MUTUAL:SSL,OAUTH:SASL_SSL,CONTROLLER:PLAINTEXT"
            ),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": (
                f'{oauth} unsecuredLoginStringClaim_sub="{ADMIN}";'
            ),
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                f'{login} username="{ADMIN}" password="{PASSWORD}";'
            ),
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self._keys),
            "ssl.keystore.password": PASSWORD,
            "ssl.truststore.type": "PKCS12",
            "ssl.truststore.location": str(self._trusted),
            "ssl.truststore.password": PASSWORD,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The controller's listener is the broker's own.
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
        }


def _constant(operation: str) -> str:
    """DESCRIBE_CONFIGS for DescribeConfigs."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()


def _keytool(*arguments: str | Path) -> None:
    _run("keytool", *arguments)


def _run(*arguments: str | Path) -> None:
    command = [*map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=TOOL_SECONDS)
