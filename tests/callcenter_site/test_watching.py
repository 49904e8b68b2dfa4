"""The dashboard and the alert rules under deploy/ ask for metrics that there are, with labels that they have."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from django.conf import settings
from prometheus_client import REGISTRY

from callcenter_site.prometheus import gauges

RULES = settings.BASE_DIR / "deploy" / "prometheus" / "portal.rules.yml"
BOARD = settings.BASE_DIR / "deploy" / "grafana" / "portal.json"
OF_PROMETHEUS = {"le", "instance", "job"}


def questions() -> list[str]:
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(BOARD.read_text())["panels"]
    return rules + [target["expr"] for panel in panels for target in panel.get("targets", [])]


def metrics() -> dict[str, set[str]]:
    """Each metric by the names its samples go by, with its labels."""
    found: dict[str, set[str]] = {}
    for family in gauges():
        found[family.name] = {label for sample in family.samples for label in sample.labels}
    for metric in set(REGISTRY._collector_to_names):
        name = getattr(metric, "_name", "")
        if name.startswith("portal_"):
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric._type, [""])
            found |= {name + end: set(metric._labelnames) for end in ends}
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("question", questions())
def test_what_is_asked_for_is_there(question):
    known = metrics()
    asked = re.findall(r"\b(portal_\w+)", question)
    assert asked or question.startswith("up{")
    for name in asked:
        assert name in known, name
    labels = {label for names in re.findall(r"by \(([^)]*)\)", question) for label in names.split(", ")}
    labels |= {label for chosen in re.findall(r"\{([^}]*)\}", question) for label in re.findall(r"(\w+)\s*[=!]", chosen)}
    labels -= OF_PROMETHEUS
    # Labels of families without a sample in an empty database are those of the code that makes them.
    seen = {label for name in asked for label in known[name]} | {"job", "state", "queue", "part", "kind", "answer"}
    assert labels <= seen


def test_every_alert_says_what_and_what_to_do():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        names = [rule["alert"] for rule in group["rules"]]
        assert len(names) == len(set(names))
        for rule in group["rules"]:
            assert rule["annotations"]["summary"] and rule["annotations"]["action"]
            assert rule["labels"]["severity"] in ("critical", "warning")


def test_panels_of_the_dashboard_do_not_overlap():
    places = [panel["gridPos"] for panel in json.loads(BOARD.read_text())["panels"]]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells))


@pytest.mark.django_db
def test_every_metric_is_told_in_the_docs_and_no_other():
    page = (settings.BASE_DIR / "docs" / "operations.md").read_text().partition("### Metrics\n")[2].partition("\n## ")[0]
    told = {re.sub(r"_total$", "", name) for name in re.findall(r"`(portal_\w+)`", page)}
    known = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in metrics()}
    assert told == known


@pytest.mark.skipif(not shutil.which("promtool"), reason="Prometheus is not installed")
def test_prometheus_reads_the_rules():
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
