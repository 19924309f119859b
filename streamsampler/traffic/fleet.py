"""Who runs the shop and for whom: instances with their clocks, tenants with their shares."""

from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from uuid import UUID

from streamsampler.traffic.model import Attribute, Resource
from streamsampler.traffic.settings import TrafficSettings
from streamsampler.traffic.shop import DEDICATED, services

TENANT_KEY = "tenant.id"
"""The attribute that names the tenant, on spans and on resources."""

_NAMED = ("acme", "globex", "initech", "münchen-süd", "umbrella", "株式会社")
_ZIPF_EXPONENT = 1.1
_LANGUAGES = ("go", "java", "nodejs", "python")
_STABLE_INSTANCES = 2
_LARGE_TENANTS = 3


@dataclass(frozen=True, slots=True)
class Tenants:
    """The shop's tenants, the largest first.

    Attributes:
        attributes: `tenant.id` of each.
        bounds: cumulated shares, the last one 1.
    """

    attributes: tuple[Attribute, ...]
    bounds: tuple[float, ...]

    def draw(self, random: Random) -> int:
        """Draws a tenant by its share.

        Args:
            random: chance.

        Returns:
            Its place in `attributes`.
        """
        return min(bisect(self.bounds, random.random()), len(self.bounds) - 1)


def tenants(count: int) -> Tenants:
    """Names tenants and gives them shares by Zipf's law.

    Args:
        count: how many.

    Returns:
        The tenants, the k-th with a share proportional to k**-1.1.
    """
    names = [*_NAMED, *(f"tenant-{number:05}" for number in range(len(_NAMED), count))][:count]
    weights = [(place + 1) ** -_ZIPF_EXPONENT for place in range(count)]
    total = sum(weights)
    bounds = tuple(sum_so_far / total for sum_so_far in accumulate(weights))
    return Tenants(tuple(Attribute(TENANT_KEY, name) for name in names), bounds)


class Fleet:
    """Every service's instances: two of the stable version, a canary, and dedicated ones."""

    def __init__(self, settings: TrafficSettings, random: Random, of_tenants: Tenants) -> None:
        """Starts the instances.

        Args:
            settings: how far clocks are off.
            random: chance, for ids and clocks.
            of_tenants: the largest of them have instances of their own.
        """
        self._random = random
        self._sampled_flags = services()
        # Few hosts are far off; most are kept within a few ms by their time service.
        self._skews_ns = [settings.max_skew_ms * 1_000_000 // part for part in (1, 40, 40, 80, 250)]
        self._stable: dict[str, tuple[Resource, ...]] = {}
        self._canary: dict[str, Resource] = {}
        for number, service in enumerate(self._sampled_flags):
            minor = number + 1
            self._stable[service] = tuple(
                self._start(service, "production", f"1.{minor}.0") for _ in range(_STABLE_INSTANCES)
            )
            self._canary[service] = self._start(service, "canary", f"1.{minor + 1}.0-rc1")
        self._dedicated = [
            self._start(DEDICATED, "production", "1.0.0", (tenant,))
            for tenant in of_tenants.attributes[:_LARGE_TENANTS]
        ]

    def place(self, service: str, *, canary: bool, tenant: int | None, random: Random) -> Resource:
        """Picks the instance that serves a trace.

        Args:
            service: the service asked.
            canary: whether the trace is routed to canaries.
            tenant: the trace's tenant, by its place, or none.
            random: chance.

        Returns:
            The instance.
        """
        if service == DEDICATED and tenant is not None and tenant < len(self._dedicated):
            return self._dedicated[tenant]
        if canary:
            return self._canary[service]
        return self._stable[service][random.random() < 0.5]

    def _start(
        self,
        service: str,
        environment: str,
        version: str,
        own: tuple[Attribute, ...] = (),
    ) -> Resource:
        random = self._random
        instance = UUID(int=random.getrandbits(128), version=4)
        limit = random.choice(self._skews_ns)
        pairs = (
            ("telemetry.sdk.language", _LANGUAGES[len(service) % len(_LANGUAGES)]),
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.version", "1.41.0"),
            ("service.instance.id", str(instance)),
            ("deployment.environment.name", environment),
            ("service.version", version),
            ("k8s.pod.name", f"{service}-5d9f-{instance.hex[:5]}"),
            ("process.pid", random.randrange(100, 40_000)),
            ("service.name", service),
        )
        return Resource(
            service,
            tuple(Attribute(key, value) for key, value in pairs) + own,
            random.randint(limit // 2, limit) * random.choice((-1, 1)),
            self._sampled_flags[service],
        )
