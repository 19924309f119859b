"""What the chart makes of values: valid resources, whose settings a worker takes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from faust.auth import OAuthCredentials

from streamsampler import __version__
from streamsampler.config import Settings, Topics, load_settings
from streamsampler.kafka.clients import make_producer
from streamsampler.kafka.topics import plan_topics
from streamsampler.policies import load_policy_set
from tests.charts.helm import CHART, KUBERNETES, HelmError, Render
from tests.documented_rights import documented
from topologies.security import credentials

FILES = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
CUSTOM = {
    "keda.sh/v1alpha1": {"ScaledObject"},
    "monitoring.coreos.com/v1": {"PodMonitor", "PrometheusRule", "ServiceMonitor"},
    "kafka.strimzi.io/v1beta2": {"KafkaTopic", "KafkaUser"},
}
GIB = 1 << 30


def of_kind(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in resources if one["kind"] == kind]


def only(resources: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = of_kind(resources, kind)
    return found


def worker_containers(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each worker process of a pod."""
    containers = only(resources, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert isinstance(containers, list)
    return containers


def worker(resources: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = worker_containers(resources)
    return container


def settings_of(resources: list[dict[str, Any]], tmp_path: Path) -> Settings:
    """The settings as a worker reads them."""
    (text,) = {one["data"]["config.yaml"] for one in of_kind(resources, "ConfigMap")
               if "config.yaml" in one["data"]}  # fmt: skip
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load_settings(file)


def test_there_are_the_six_files() -> None:
    assert FILES == ["emptydir", "everything", "keda", "minimal", "production", "tls-sasl"]


@pytest.mark.parametrize("values", FILES)
def test_helm_finds_nothing_wrong(helm: Callable[..., str], values: str) -> None:
    assert "0 chart(s) failed" in helm(
        "lint", CHART, "--strict", "--values", CHART / "ci" / f"{values}.yaml"
    )


@pytest.mark.parametrize("values", FILES)
def test_resources_follow_the_schemas_of_kubernetes(render: Render, values: str) -> None:
    resources = render(values)
    names = [(one["kind"], one["metadata"]["name"]) for one in resources]
    assert len(set(names)) == len(names)
    for resource in resources:
        if resource["apiVersion"] in CUSTOM:
            assert resource["kind"] in CUSTOM[resource["apiVersion"]]
            assert resource["spec"]
        else:
            kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize("values", FILES)
def test_a_worker_takes_the_settings(render: Render, values: str, tmp_path: Path) -> None:
    settings = settings_of(render(values), tmp_path)
    assert settings.http.address == "0.0.0.0:9478"
    assert settings.bootstrap.startswith("kafka")


@pytest.mark.parametrize("values", FILES)
def test_no_container_may_do_more_than_it_must(render: Render, values: str) -> None:
    for resource in render(values):
        template = resource.get("spec", {}).get("template", {})
        pod = template.get("spec") or (resource["spec"] if resource["kind"] == "Pod" else None)
        if pod is None:
            continue
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            allowed = container["securityContext"]
            assert allowed["readOnlyRootFilesystem"] is True
            assert allowed["allowPrivilegeEscalation"] is False
            assert allowed["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("replicaCuont=3", "replicaCuont"),
        ("kafka.tls.enable=true", "enable"),
        ("topics.create=maybe", "create"),
        ("persistence.size=20Gib", "size"),
        ("kafka.bootstrapServers=", "kafka.bootstrapServers is not set"),
        ("topics.create=strimzi", "topics.strimzi.cluster is not set"),
    ],
)
def test_a_slip_in_the_values_is_refused(render: Render, setting: str, words: str) -> None:
    with pytest.raises(HelmError, match=words):
        render("minimal", setting)


def test_two_ways_to_scale_are_refused(render: Render) -> None:
    with pytest.raises(HelmError, match="choose one"):
        render("keda", "autoscaling.enabled=true")


def test_budgets_follow_from_memory_and_volume(render: Render, tmp_path: Path) -> None:
    settings = settings_of(
        render("minimal", "resources.limits.memory=8Gi", "persistence.size=40Gi"), tmp_path
    )
    assert settings.store.write_buffer_bytes == GIB
    assert settings.store.block_cache_bytes == GIB // 2
    assert settings.limits.buffered_spans == 8 * GIB // 200
    assert settings.limits.buffered_bytes == 20 * GIB


def test_what_is_configured_wins_over_what_follows(render: Render, tmp_path: Path) -> None:
    settings = settings_of(render("minimal", "config.limits.buffered_spans=1000"), tmp_path)
    assert settings.limits.buffered_spans == 1_000


def test_workers_are_static_members_that_stop_in_time(render: Render, tmp_path: Path) -> None:
    resources = render("minimal")
    spec = only(resources, "StatefulSet")["spec"]
    env = {one["name"]: one for one in worker(resources)["env"]}
    assert spec["podManagementPolicy"] == "Parallel"
    assert env["STREAMSAMPLER_INSTANCE_ID"]["valueFrom"]["fieldRef"] == {
        "fieldPath": "metadata.name"
    }
    grace_ms = 1_000 * spec["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_ms > settings_of(resources, tmp_path).stop_timeout_ms


def test_each_process_of_a_pod_has_its_own_container_name_folder_port_and_probes(
    render: Render,
) -> None:
    containers = worker_containers(render("production"))
    assert [one["name"] for one in containers] == ["worker-0", "worker-1"]
    for number, container in enumerate(containers):
        env = {one["name"]: one.get("value") for one in container["env"]}
        assert env["STREAMSAMPLER_INSTANCE_ID"] == f"$(POD_NAME)-{number}"
        assert env["STREAMSAMPLER_HTTP__ADDRESS"] == f"0.0.0.0:{9478 + number}"
        assert env["STREAMSAMPLER_STORE__PATH"] == f"/var/lib/streamsampler/spans-{number}"
        (port,) = container["ports"]
        assert port == {"name": f"http-{number}", "containerPort": 9478 + number}
        probes = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
        assert probes == {
            "startupProbe": {"path": "/livez", "port": port["name"]},
            "livenessProbe": {"path": "/livez", "port": port["name"]},
            "readinessProbe": {"path": "/readyz", "port": port["name"]},
        }


def test_secrets_stay_in_their_secret(render: Render, tmp_path: Path) -> None:
    resources = render("tls-sasl")
    env = {one["name"]: one.get("valueFrom") for one in worker(resources)["env"]}
    assert env["STREAMSAMPLER_KAFKA__SASL_PASSWORD"] == {
        "secretKeyRef": {"name": "kafka-user", "key": "password"}
    }
    kafka = settings_of(resources, tmp_path).kafka
    assert kafka["security.protocol"] == "SASL_SSL"
    assert kafka["ssl.ca.location"] == "/etc/streamsampler/tls/ca.crt"
    assert kafka["ssl.key.location"] == "/etc/streamsampler/tls/tls.key"
    assert "sasl.password" not in kafka


OAUTH = (
    "kafka.sasl.mechanism=OAUTHBEARER",
    "kafka.sasl.existingSecret=client",
    "kafka.sasl.oauth.tokenEndpointUrl=https://login.example/token",
    "kafka.sasl.oauth.scope=kafka",
)


def test_oauth_is_taken_by_both_clients(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = render("minimal", *OAUTH, "kafka.tls.enabled=true")
    env = {one["name"]: one.get("valueFrom") for one in worker(resources)["env"]}
    for name, key in (("ID", "username"), ("SECRET", "password")):
        variable = f"STREAMSAMPLER_KAFKA__SASL_OAUTHBEARER_CLIENT_{name}"
        assert env[variable] == {"secretKeyRef": {"name": "client", "key": key}}
        monkeypatch.setenv(variable, f"the {key}")
    settings = settings_of(resources, tmp_path)
    assert settings.kafka["sasl.oauthbearer.method"] == "oidc"
    assert settings.kafka["sasl.oauthbearer.client.secret"] == "the password"
    make_producer(settings).close()  # librdkafka takes the properties
    assert isinstance(credentials(settings.kafka), OAuthCredentials)  # and so does Faust


def test_oauth_without_a_place_to_get_tokens_is_refused(render: Render) -> None:
    with pytest.raises(HelmError, match=r"kafka\.sasl\.oauth\.tokenEndpointUrl is not set"):
        render("minimal", "kafka.sasl.mechanism=OAUTHBEARER")


def test_whoever_has_metrics_is_scraped(render: Render) -> None:
    resources = render("everything")
    having = {"worker", "health", "forward"}
    for kind, endpoints in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        spec = only(resources, kind)["spec"]
        (chosen,) = spec["selector"]["matchExpressions"]
        assert chosen["key"] == "app.kubernetes.io/component"
        assert {*chosen["values"]} == having
        ports = {one["port"] for one in spec[endpoints]}
        for resource in of_kind(resources, "StatefulSet") + of_kind(resources, "Deployment"):
            template = resource["spec"]["template"]
            if template["metadata"]["labels"]["app.kubernetes.io/component"] in having:
                (container,) = template["spec"]["containers"]
                assert ports & {one["name"] for one in container["ports"]}
    services = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in of_kind(resources, "Service")
    }
    assert services == having


def test_the_network_policy_lets_the_release_talk_to_itself_and_to_what_is_named(
    render: Render,
) -> None:
    spec = only(render("everything"), "NetworkPolicy")["spec"]
    own = {"podSelector": spec["podSelector"]}
    (ingress,) = spec["ingress"]
    assert ingress["from"] == [
        own, {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    ]  # fmt: skip
    assert [one.get("to") for one in spec["egress"]] == [
        None,  # names, by their port
        [own],
        [{"ipBlock": {"cidr": "192.0.2.0/24"}}],
        [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    ]
    assert {one["port"] for one in spec["egress"][0]["ports"]} == {53}


def test_it_scales_by_the_workers_own_lag(render: Render) -> None:
    resources = render("keda")
    (trigger,) = only(resources, "ScaledObject")["spec"]["triggers"]
    assert "streamsampler_lag_records" in trigger["metadata"]["query"]
    assert "replicas" not in only(resources, "StatefulSet")["spec"]
    assert only(render("emptydir"), "HorizontalPodAutoscaler")


def test_without_a_volume_there_is_an_empty_folder(render: Render) -> None:
    spec = only(render("emptydir"), "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in spec
    (spans,) = [one for one in spec["template"]["spec"]["volumes"] if one["name"] == "spans"]
    assert spans["emptyDir"] == {"sizeLimit": "10Gi"}


def test_hooks_make_topics_and_apply_policies(render: Render) -> None:
    jobs = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["args"]
        for one in of_kind(render("production"), "Job")
    }
    assert jobs["here-streamsampler-topics"][:2] == ["topics", "create"]
    assert jobs["here-streamsampler-policies"][:2] == ["policy", "apply"]
    assert not of_kind(render("tls-sasl"), "Job")


def test_workers_begin_with_the_policies_that_a_hook_writes_when_they_are_ready(
    render: Render, tmp_path: Path
) -> None:
    """Else who waits for ready pods before the hook, as Helm does with --wait, waits for ever."""
    resources = render("production")
    assert settings_of(resources, tmp_path).policies_file == Path(
        "/etc/streamsampler/config/policies.yaml"
    )
    assert {"name": "config", "mountPath": "/etc/streamsampler/config", "readOnly": True} in (
        worker_containers(resources)[0]["volumeMounts"]
    )
    data = {one["metadata"]["name"]: one["data"] for one in of_kind(resources, "ConfigMap")}
    assert data["here-streamsampler"] == data["here-streamsampler-setup"]
    assert load_policy_set(data["here-streamsampler"]["policies.yaml"], "the chart").policies
    (job,) = [one for one in of_kind(resources, "Job") if "policies" in one["metadata"]["name"]]
    assert job["metadata"]["annotations"]["helm.sh/hook"].split(",") == [
        "post-install", "post-upgrade", "post-rollback",
    ]  # fmt: skip
    assert settings_of(render("minimal"), tmp_path).policies_file is None


def test_strimzi_makes_the_topics_that_the_command_makes(render: Render) -> None:
    resources = render("everything")
    made = {one["spec"]["topicName"]: one["spec"] for one in of_kind(resources, "KafkaTopic")}
    plans = plan_topics(Topics(input="spans"), 48)
    assert made.keys() == {plan.name for plan in plans}
    for plan in plans:
        assert made[plan.name]["partitions"] == plan.partitions
        assert made[plan.name]["config"] == plan.config
    acls = only(resources, "KafkaUser")["spec"]["authorization"]["acls"]
    rights = {one["resource"].get("name"): one["operations"] for one in acls}
    assert rights["spans"] == ["Describe", "Read"]
    assert "Write" in rights["otlp_spans_sampled"]


@pytest.mark.parametrize("role", ["worker", "control plane", "forwarder"])
def test_the_user_of_strimzi_has_the_documented_rights(render: Render, role: str) -> None:
    resources = render("everything", "config.topics.input=otlp_spans")
    granted = {
        (acl["resource"]["type"], acl["resource"]["name"], acl["resource"]["patternType"]): {
            *acl["operations"]
        }
        for acl in only(resources, "KafkaUser")["spec"]["authorization"]["acls"]
        if "name" in acl["resource"]
    }
    rights = documented(role, "streamsampler")
    assert rights
    for right in rights:
        kind = {"transactional id": "transactionalId"}.get(right.kind, right.kind)
        exact = granted.get((kind, right.name, "literal"), set())
        begun = [
            operations
            for (of, name, pattern), operations in granted.items()
            if of == kind and pattern == "prefix" and right.name.startswith(name)
        ]
        assert {*right.operations} <= exact.union(*begun), right


PODS = {
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"pool": "tracing"},
    "tolerations": [{"key": "tracing", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}


def test_values_for_pods_reach_the_pods(render: Render) -> None:
    given = [f"{name}={json.dumps(value)}" for name, value in PODS.items()]
    resources = render("everything", "podAnnotations.team=t", "podLabels.part=p", *given)
    lasting = of_kind(resources, "StatefulSet") + of_kind(resources, "Deployment")
    assert len(lasting) == 5
    for resource in lasting:
        template = resource["spec"]["template"]
        pod = template["spec"]
        assert {name: pod[name] for name in PODS} == PODS
        assert template["metadata"]["annotations"]["team"] == "t"
        assert template["metadata"]["labels"]["part"] == "p"
        assert {"name": "more", "emptyDir": {}} in pod["volumes"]
        for container in pod["containers"]:
            assert container["image"] == "registry.example/streamsampler:1.2.3"
            assert {"name": "STREAMSAMPLER_LOG__FORMAT", "value": "text"} in container["env"]
            assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]


def test_what_refers_to_the_workers_finds_them(render: Render) -> None:
    resources = render("keda")
    workers = only(resources, "StatefulSet")
    labels = workers["spec"]["template"]["metadata"]["labels"]
    name = workers["metadata"]["name"]
    budget = only(resources, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    service = next(one for one in of_kind(resources, "Service") if one["metadata"]["name"] == name)
    assert workers["spec"]["serviceName"] == name
    assert service["spec"]["selector"].items() <= labels.items()
    (spread,) = workers["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
    assert only(resources, "ScaledObject")["spec"]["scaleTargetRef"]["name"] == name
    scaled = only(render("emptydir"), "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (scaled["kind"], scaled["name"]) == ("StatefulSet", name)


def test_the_volume_is_as_it_is_asked_for(render: Render) -> None:
    (claim,) = only(render("production"), "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "100Gi"}},
    }


def test_prometheus_and_grafana_are_given_what_is_in_the_chart(render: Render) -> None:
    resources = render("production")
    rules = yaml.safe_load((CHART / "alerts" / "rules.yaml").read_text())
    assert only(resources, "PrometheusRule")["spec"] == rules
    boards = [
        one
        for one in of_kind(resources, "ConfigMap")
        if one["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]
    given = {name: json.loads(text) for one in boards for name, text in one["data"].items()}
    files = (CHART / "dashboards").glob("*.json")
    assert given == {path.name: json.loads(path.read_text()) for path in files}


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


def _described(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"])


def test_every_value_has_a_schema_and_a_line_in_the_readme() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert values.keys() == _described(schema) - {"global"}
    readme = (CHART / "README.md").read_text()
    assert [name for name in values if f"`{name}" not in readme] == []
