"""The files in ``deploy/`` and docker-compose.yml are valid, and agree with the program: verbs, settings, metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import container, documents, metrics
from service.cli import VERBS
from service.folders import Folders, StateFolders
from service.raw_settings import PREFIX
from service.settings import Settings
from tests.required import needs, needs_promtool
from tests.small_documents import DocumentFolders, batch
from tests.test_metrics import busy_report, end_a_sync
from tests.worlds import ROOT, local_now

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
UNIT = DEPLOY / "systemd" / "customer-integration.service"
VARIABLES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
NAMES_OF_VERBS = {verb.name for verb in VERBS}
SPARK_NODES = ("spark-master", "spark-worker-1", "spark-worker-2")
MOST_EXPOSURE = 20
"""Of 100, as ``systemd-analyze security`` counts."""


def _has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


needs_compose = needs(_has_compose(), "needs docker compose")
needs_systemd = needs(
    shutil.which("systemd-analyze") is not None, "needs systemd-analyze, from Debian's package systemd"
)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints. Raises: AssertionError where it fails."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all metrics there are, and of their labels as ``name{label}``."""
    folders = DocumentFolders(tmp_path_factory.mktemp("metrics"))
    folders.ledger.open()
    folders.publish(batch(1), None)
    folders.ledger.note(batch(1), 1.5)
    folders.outbox.root.mkdir(exist_ok=True)
    documents.write(folders.state.health, busy_report())
    end_a_sync(StateFolders(folders.state.root), local_now())
    text = metrics.render(Folders(None, folders.outbox.root, folders.state.root), local_now()).decode()
    assert not re.search(r"scrape_errors\S+ 1", text)
    names = set(re.findall(rf"^{metrics.PREFIX}\w+", text, flags=re.MULTILINE))
    return names | {
        f"{name}{{{label}}}"
        for name, labels in re.findall(rf"^({metrics.PREFIX}\w+){{(.*)}}", text, flags=re.MULTILINE)
        for label in re.findall(r'(\w+)="', labels)
    }


def used_in(expression: str) -> Iterator[str]:
    """The metrics of ours in an expression, and the labels that it selects by."""
    for name, labels in re.findall(rf"({metrics.PREFIX}\w+)(?:{{([^}}]*)}})?", expression):
        yield name
        yield from (f"{name}{{{label}}}" for label in re.findall(r"(\w+)\s*=", labels))


# ------------------------------------------------------------------------------------------- Prometheus, Grafana


@needs_promtool
def test_the_alert_rules_are_valid_and_fire_as_they_say() -> None:
    run("promtool", "check", "rules", "--lint-fatal", RULES)
    run("promtool", "test", "rules", ROOT / "tests" / "prometheus_alerts.yml")


@needs_promtool
def test_a_rule_that_fires_too_early_fails_its_test(tmp_path: Path) -> None:
    text = RULES.read_text(encoding="utf-8")
    assert "for: 30m" in text
    (tmp_path / "alerts.yml").write_text(text.replace("for: 30m", "for: 20m"), encoding="utf-8")
    samples = (ROOT / "tests" / "prometheus_alerts.yml").read_text(encoding="utf-8")
    (tmp_path / "samples.yml").write_text(samples.replace("../deploy/prometheus/", ""), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", tmp_path / "samples.yml"], capture_output=True, check=False)
    assert b"CustomerIntegrationDegraded" in done.stdout + done.stderr
    assert done.returncode != 0


@needs_promtool
def test_the_rule_that_is_off_is_valid_once_it_is_on(tmp_path: Path) -> None:
    text = RULES.read_text(encoding="utf-8")
    switched_on = re.sub(r"^      # ((?:- alert|  ).*)$", r"      \1", text, flags=re.MULTILINE)
    (tmp_path / "alerts.yml").write_text(switched_on, encoding="utf-8")
    found = run("promtool", "check", "rules", "--lint-fatal", tmp_path / "alerts.yml")
    assert f"{text.count('- alert:')} rules found" in found
    assert text.count("# - alert:") == 1


@needs_promtool
def test_the_configuration_of_prometheus_is_valid(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    (tmp_path / "prometheus" / "token").write_text("a token")
    run("promtool", "check", "config", tmp_path / "prometheus" / "prometheus.yml")


def test_every_metric_in_the_alert_rules_exists(rendered: set[str]) -> None:
    used = set(used_in(RULES.read_text(encoding="utf-8")))
    assert len(used) >= 9
    assert used - rendered == set()


def test_every_alert_names_an_entry_of_the_runbook() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    entries = re.findall(r"runbook: docs/runbook.md#?(.*)", RULES.read_text(encoding="utf-8"))
    assert len(entries) == RULES.read_text(encoding="utf-8").count("- alert:")
    assert [entry for entry in entries if entry and f"## {entry}\n" not in page] == []


def test_every_metric_on_the_dashboard_exists(rendered: set[str]) -> None:
    used = {name for expression in expressions() for name in used_in(expression)}
    assert len(used) >= 15
    assert used - rendered == set()


def panels() -> list[dict[str, Any]]:
    board = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = board["panels"]
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


@needs_promtool
def test_every_expression_on_the_dashboard_is_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions())
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run("promtool", "check", "rules", tmp_path / "rules.yml")


def test_the_panels_have_names_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert all(panel["title"] and panel["description"] for panel in panels())
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels())
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23  # the columns of Grafana are all used
    assert len(cells) == 24 * (1 + max(y for _, y in cells))


# ------------------------------------------------------------------------------------------------------- compose


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """What compose makes of docker-compose.yml with every profile."""
    every = [f"--profile={name}" for name in ("simulator", "notify", "monitoring", "spark")]
    text = run("docker", "compose", *every, "config", "--format", "json")
    found: dict[str, Any] = json.loads(text[text.index("{") :])
    return found


@needs_compose
def test_compose_accepts_the_file_and_starts_two_services_by_default(composed: dict[str, Any]) -> None:
    without = {name for name, service in composed["services"].items() if not service.get("profiles")}
    assert without == {"customer-integration", "dashboard"}
    assert set(composed["services"]) - without == {"simulator", "notify", "prometheus", "grafana", *SPARK_NODES}


@needs_compose
def test_the_watcher_has_no_network_and_nothing_is_published_beyond_this_machine(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert services["customer-integration"]["network_mode"] == "none"
    assert services["customer-integration"].get("ports") is None
    ports = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(ports) == {"dashboard", "prometheus", "grafana"}
    assert {port["host_ip"] for found in ports.values() for port in found} == {"127.0.0.1"}
    assert "dashboard" not in services["notify"]["networks"]


@needs_compose
def test_our_containers_are_closed_and_share_their_folders(composed: dict[str, Any]) -> None:
    services = composed["services"]
    ours = {name: it for name, it in services.items() if it["image"].startswith("customer-integration")}
    assert set(ours) == {"customer-integration", "dashboard", "notify", "simulator", *SPARK_NODES}
    for name, service in ours.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) <= (4 if name in SPARK_NODES else 2) << 30, name
        check_environment(service.get("environment", {}))
        if name not in SPARK_NODES:
            assert (service.get("command") or ["watch"])[0] in NAMES_OF_VERBS, name
    watcher, dashboard = services["customer-integration"], services["dashboard"]
    assert watcher["volumes"] == dashboard["volumes"]
    assert dashboard["ports"][0]["target"] == int(dashboard["environment"]["SERVICE_HTTP_PORT"])
    assert f":{dashboard['ports'][0]['target']}/healthz" in dashboard["healthcheck"]["test"][-1]


@needs_compose
def test_the_nodes_of_spark_share_the_folders_of_the_watcher_and_its_user(composed: dict[str, Any]) -> None:
    services = composed["services"]
    targets = [volume["target"] for volume in services["customer-integration"]["volumes"]]
    for name in SPARK_NODES:
        node = services[name]
        assert [volume["target"] for volume in node["volumes"]] == targets, name
        assert (node["user"], node["image"]) == ("1000:1000", "customer-integration-spark:latest")
        assert (ROOT / node["build"]["dockerfile"]).is_file()
        assert node["hostname"] == name
        if name != "spark-master":
            assert node["command"][-1] == "spark://spark-master:7077"
            # So `up -d` ends when the cluster can be reached, and `doctor` behind it finds it.
            assert node["depends_on"]["spark-master"]["condition"] == "service_healthy"
    assert "7077" in services["spark-master"]["healthcheck"]["test"][-1]
    assert composed["networks"]["spark"]["name"] == "customer-integration-spark"


def started(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """The program that the entry point of Spark's image starts, and its arguments."""
    for name in ("java", "python"):
        program = folder / name
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' {name} \"$@\"\n", encoding="utf-8")
        program.chmod(0o755)
    script = DEPLOY / "spark" / "entrypoint.sh"
    path = f"{folder}:/usr/bin:/bin"
    ran = subprocess.run(
        [script, *arguments], env={"PATH": path, **environment}, capture_output=True, text=True, check=True
    )
    return ran.stdout.splitlines()


def test_the_image_of_spark_starts_the_service_or_an_executor_of_kubernetes(tmp_path: Path) -> None:
    assert started(tmp_path, "integrate", "a b.csv") == ["python", "-m", "service", "integrate", "a b.csv"]
    given = ("EXECUTOR_MEMORY", "DRIVER_URL", "EXECUTOR_ID", "EXECUTOR_CORES", "APPLICATION_ID", "EXECUTOR_POD_IP")
    values = {f"SPARK_{name}": name.lower() for name in (*given, "RESOURCE_PROFILE_ID", "EXECUTOR_POD_NAME")}
    options = {"SPARK_JAVA_OPT_0": "-Da=b c", "SPARK_JAVA_OPT_1": "-Dd"}
    java, *arguments = started(tmp_path, "executor", **values, **options)
    assert (java, arguments[:4]) == ("java", ["-Da=b c", "-Dd", "-Xmsexecutor_memory", "-Xmxexecutor_memory"])
    assert arguments[-2:] == ["--podName", "executor_pod_name"]
    assert arguments[arguments.index("--driver-url") + 1] == "driver_url"


def check_environment(environment: dict[str, Any]) -> None:
    ours = {name for name in environment if name.startswith(PREFIX)}
    assert ours <= VARIABLES
    for name in ("INBOX", "OUTBOX", "STATE"):
        path = environment.get(f"{PREFIX}{name}", f"/data/{name.lower()}")
        assert Path(path).is_relative_to(f"/data/{name.lower()}")


@needs_compose
def test_other_images_are_pinned_and_what_they_mount_exists(composed: dict[str, Any]) -> None:
    services = composed["services"]
    for name in ("prometheus", "grafana"):
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", services[name]["image"])
        for volume in services[name]["volumes"]:
            assert volume["type"] == "volume" or Path(volume["source"]).exists()
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["dashboard:8080"]}]
    assert json.loads(services["dashboard"]["environment"]["SERVICE_HTTP_NAMES"]) == ["dashboard"]
    (secret,) = services["prometheus"]["secrets"]
    assert Path(secret["target"]).name == job["authorization"]["credentials_file"]
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    assert sources["datasources"][0]["url"] == f"http://prometheus:{services['prometheus']['ports'][0]['target']}"
    providers = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/files.yml").read_text(encoding="utf-8"))
    path = providers["providers"][0]["options"]["path"]
    mounted = {volume["target"] for volume in services["grafana"]["volumes"]}
    assert f"{path}/dashboard.json" in mounted
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted


# ------------------------------------------------------------------------------------------------------- systemd


def unit_options() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_runs_a_verb_of_ours_and_sets_settings_that_exist() -> None:
    options = unit_options()
    (started,) = options["ExecStart"]
    assert started.split()[1:3] == ["-m", "service"]
    assert started.split()[3] in NAMES_OF_VERBS
    variables = {name for line in options["Environment"] for name in re.findall(r"(SERVICE_\w+)=", line)}
    assert variables
    assert variables <= VARIABLES
    assert int(options["TimeoutStopSec"][0]) > Settings.model_fields["stop_seconds"].default


@needs_systemd
def test_systemd_accepts_the_unit_and_finds_it_closed(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8").replace("/opt/customer-integration/.venv/bin/python", sys.executable)
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/customer-integration", str(ROOT)), encoding="utf-8")
    assert run("systemd-analyze", "verify", unit) == ""
    run("systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", "--no-pager", unit)


# ---------------------------------------------------------------------------------------------------- Kubernetes


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, dict[str, Any]]:
    """Kind -> object."""
    text = (DEPLOY / "kubernetes" / "customer-integration.yaml").read_text(encoding="utf-8")
    return {found["kind"]: found for found in yaml.safe_load_all(text)}


def containers_of(kubernetes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    pod = kubernetes["StatefulSet"]["spec"]["template"]["spec"]
    return {found["name"]: found for found in pod["containers"]}


def test_the_containers_run_verbs_of_ours_with_settings_that_exist(kubernetes: dict[str, dict[str, Any]]) -> None:
    containers = containers_of(kubernetes)
    assert [found["args"] for found in containers.values()] == [["watch"], ["dashboard"]]
    for found in containers.values():
        assert found["args"][0] in NAMES_OF_VERBS
        environment = {it["name"]: it.get("value") for it in found["env"]}
        check_environment(environment)
        assert Path(environment["SERVICE_STATE"]).parent == Path(container.STATE_IN_IMAGE)
    assert containers["dashboard"]["env"][-1]["valueFrom"]["secretKeyRef"]["key"] == "token"
    own = {it["name"]: it.get("value") for it in containers["watcher"]["env"]}
    page = {it["name"]: it.get("value") for it in containers["dashboard"]["env"]}
    assert {name: page[name] for name in own} == own


def test_every_mount_has_a_volume_and_every_container_is_closed(kubernetes: dict[str, dict[str, Any]]) -> None:
    spec = kubernetes["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    volumes = {it["name"] for it in pod["volumes"]} | {it["metadata"]["name"] for it in spec["volumeClaimTemplates"]}
    for found in containers_of(kubernetes).values():
        assert {mount["name"] for mount in found["volumeMounts"]} == volumes
        assert {mount["mountPath"] for mount in found["volumeMounts"]} >= {"/data/inbox", "/data/outbox", "/data/state"}
        closed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert found["securityContext"] == closed
        assert found["resources"]["limits"]["memory"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert spec["replicas"] == 1
    assert pod["terminationGracePeriodSeconds"] > Settings.model_fields["stop_seconds"].default


def test_the_probes_ask_what_exists(kubernetes: dict[str, dict[str, Any]]) -> None:
    containers = containers_of(kubernetes)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert containers["watcher"][probe]["exec"]["command"] == ["python", "-m", "service", "healthcheck"]
    dashboard = containers["dashboard"]
    assert dashboard["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert dashboard["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (port,) = dashboard["ports"]
    assert {dashboard[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {port["name"]}
    assert {"name": "SERVICE_HTTP_PORT", "value": str(port["containerPort"])} in dashboard["env"]
    (service,) = kubernetes["Service"]["spec"]["ports"]
    assert service["targetPort"] == port["name"]


def test_the_labels_select_the_pod(kubernetes: dict[str, dict[str, Any]]) -> None:
    labels = kubernetes["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert kubernetes["StatefulSet"]["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes["Service"]["spec"]["selector"] == labels
    assert kubernetes["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert kubernetes["StatefulSet"]["spec"]["serviceName"] == kubernetes["Service"]["metadata"]["name"]


def test_the_page_for_operators_lists_every_metric(rendered: set[str]) -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    table = text[text.index("## Metrics and alerts") : text.index("## Notifications")]
    listed = {
        f"{metrics.PREFIX}{name}{{{label}}}" if label else f"{metrics.PREFIX}{name}"
        for name, labels in re.findall(r"`(\w+)(?:{([\w,]*)})?`", table.partition("|---|")[2])
        for label in ["", *labels.split(",")]
    }
    assert {name for name in rendered if name not in listed} == set()
