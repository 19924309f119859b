"""What health says all through a replay on a real Kafka, as a kubelet would ask."""

import http.client
import json
import re
from contextlib import closing

from streamsampler.config import Settings
from streamsampler.kafka.policy_topic import publish_policy_set
from tests.fleet.traces import trace
from tests.integration.sampling import RunningWorker, Written, make_topics, wait_until, write
from tests.kafka_cluster import free_ports

TRACES = 20_000
LONG = """
decision_wait: 10m
policies: [{name: all, type: always_sample}]
"""


def ask(address: str, path: str) -> tuple[int, str]:
    """Status and body; 0 before anybody listens."""
    try:
        with closing(http.client.HTTPConnection(address, timeout=5)) as asking:
            asking.request("GET", path)
            answer = asking.getresponse()
            return answer.status, answer.read().decode()
    except ConnectionRefusedError:
        return 0, ""


def test_a_replay_is_alive_all_the_time_and_ready_only_when_it_is_over(settings: Settings) -> None:
    make_topics(settings, 2)
    publish_policy_set(settings, LONG, "test")
    ids = [number.to_bytes(16, "big") for number in range(1, TRACES + 1)]
    write(
        settings,
        settings.topics.input,
        (Written(trace(one, 1, 1_700_000_000_000, 5.0, 1), one.hex().encode()) for one in ids),
    )
    with RunningWorker(settings) as first:
        first.wait_until_read(TRACES)
    (port,) = free_ports(1)
    again = settings.model_copy(
        update={
            "store": settings.store.model_copy(update={"path": settings.store.path / "empty"}),
            "http": settings.http.model_copy(update={"address": f"127.0.0.1:{port}"}),
            "batch_records": 1,  # so that it takes a while
        }
    )
    address = again.http.address
    assert address is not None
    not_ready: list[str] = []
    alive: list[int] = []

    def is_ready() -> bool:
        alive.append(ask(address, "/livez")[0])
        status, body = ask(address, "/readyz")
        if status == 503:
            not_ready.append(body)
        return status == 200

    with RunningWorker(again) as second:
        second.wait_until(is_ready, "a worker that is ready")
        partitions = json.loads(ask(address, "/status")[1])["partitions"]
        wait_until(lambda: second.total.spans_in >= TRACES, "counts")
        assert second.total.traces_buffered == TRACES
    listening = [status for status in alive if status]
    assert set(listening) == {200}
    assert alive == [0] * (len(alive) - len(listening)) + listening
    assert {one["state"] for one in partitions} == {"live"}
    assert sum(one["position"] for one in partitions) == TRACES
    progress = {
        int(found[1].replace(",", ""))
        for body in not_ready
        for found in re.finditer(r"is recovering: ([\d,]+) of [\d,]+ records replayed", body)
    }
    assert len(progress) >= 3, not_ready
