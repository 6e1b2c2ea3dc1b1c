# SPDX-License-Identifier: MIT
"""Dashboards and alert rules for Grafana, of the metrics that experiments push."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chaoseater
from chaoseater import _core

__all__ = ["GrafanaAlertManager", "GrafanaDashboardGenerator"]

log = logging.getLogger("chaoseater")


class GrafanaDashboardGenerator:
    """A dashboard: scores, status, recovery, errors, accuracy, durations, faults and success by layer; and what is live."""

    def __init__(self, dashboard_title: str = "ChaosEater: resilience of the ML pipeline") -> None:
        self.dashboard_title = dashboard_title
        self.custom_panels: list[dict[str, Any]] = []

    def add_custom_panel(self, panel: Mapping[str, Any]) -> None:
        """A panel of your own, as Grafana's JSON has it; it stands below the others."""
        if not isinstance(panel, Mapping) or not panel.get("type"):
            raise ValueError("a panel is a mapping with a \"type\", such as \"timeseries\"")
        self.custom_panels.append(dict(panel))

    def generate_complete_dashboard(self, datasource: str | None = None) -> dict[str, Any]:
        """The dashboard as Grafana's classic JSON. `datasource`, the name or uid of one of type prometheus, is what its variable
        stands at first; without, Grafana's default."""
        with tempfile.TemporaryDirectory() as folder:
            dashboard: dict[str, Any] = json.loads(_core.grafana_dashboard(self.dashboard_title, self._panel_files(folder)))
        if datasource is not None:
            for variable in dashboard["templating"]["list"]:
                if variable["type"] == "datasource":
                    variable["current"] = {"text": datasource, "value": datasource}
        return dashboard

    def export_to_file(self, path: str | os.PathLike[str]) -> None:
        """Writes it for Grafana's import."""
        Path(path).write_text(json.dumps(self.generate_complete_dashboard(), indent=2) + "\n", encoding="utf-8")

    def push_to_grafana(self, grafana_url: str, api_key: str, datasource: str | None = None) -> bool:
        """Puts it into a Grafana, with the alert rules; what an earlier call has put there is replaced. Whether that worked."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                _core.grafana_push(grafana_url, api_key, title=self.dashboard_title, panels=self._panel_files(folder),
                                   datasource=datasource)
            except chaoseater.ChaosError as error:
                log.error("%s", error)
                return False
        return True

    def _panel_files(self, folder: str) -> list[str]:
        if not self.custom_panels:
            return []
        path = Path(folder) / "panels.json"
        path.write_text(json.dumps(self.custom_panels), encoding="utf-8")
        return [str(path)]


_CONDITIONS = {"lt": "lt", "<": "lt", "below": "lt", "less_than": "lt", "gt": "gt", ">": "gt", "above": "gt", "greater_than": "gt"}


class GrafanaAlertManager:
    """Alert rules in a Grafana, one call each. A rule of the same name is replaced."""

    def __init__(self, grafana_url: str, api_key: str, folder: str = "ChaosEater", datasource: str | None = None) -> None:
        if urllib.parse.urlsplit(grafana_url).scheme not in ("http", "https"):
            raise ValueError(f"grafana_url: {grafana_url!r} is no URL; expected https://host")
        self.grafana_url = grafana_url.rstrip("/")
        self.folder = folder
        self.datasource = datasource
        self._api_key = api_key

    def create_alert_rule(self, rule_name: str, metric_query: str, threshold: float, condition: str = "lt",
                          duration: str = "1m", severity: str = "warning", summary: str | None = None) -> bool:
        """A rule that fires when a PromQL query has been below ("lt") or above ("gt") a threshold for `duration`. Whether Grafana
        has taken it; why not is logged."""
        if condition not in _CONDITIONS:
            raise ValueError(f"condition: {condition!r} is none of {', '.join(_CONDITIONS)}")
        try:
            self._put(self._rule(rule_name, metric_query, float(threshold), _CONDITIONS[condition], duration, severity, summary))
        except (OSError, ValueError) as error:
            log.error("Grafana did not take the rule '%s': %s", rule_name, error)
            return False
        return True

    def create_resilience_score_alert(self, min_score: float = 70.0) -> bool:
        """Fires when an experiment has a lower score."""
        return self.create_alert_rule("Low resilience score", "min by (experiment) (chaos_resilience_score)", min_score, "lt",
                                      summary=f"{{{{ $labels.experiment }}}} has less than {min_score:g} points")

    def create_high_error_rate_alert(self, max_error_rate: float = 0.1) -> bool:
        """Fires when a larger share of an experiment's operations has failed under the fault."""
        return self.create_alert_rule("High error rate", _ERROR_RATE, max_error_rate, "gt", severity="critical",
                                      summary=f"more than {max_error_rate:.0%} of the operations of {{{{ $labels.experiment }}}} fail")

    # ---- Grafana's API

    def _rule(self, name: str, query: str, threshold: float, condition: str, duration: str, severity: str,
              summary: str | None) -> dict[str, Any]:
        source = self._datasource()
        return {
            "uid": "chaoseater-" + hashlib.sha256(name.encode()).hexdigest()[:16],
            "title": name, "ruleGroup": "chaoseater-custom", "folderUID": self._folder(), "orgID": 1, "condition": "C", "for": duration,
            "noDataState": "OK", "execErrState": "Error", "labels": {"severity": severity},
            "annotations": {"summary": summary or name},
            "data": [
                {"refId": "A", "datasourceUid": source, "relativeTimeRange": {"from": 600, "to": 0},
                 "model": {"refId": "A", "expr": query, "instant": True, "range": False}},
                {"refId": "C", "datasourceUid": "__expr__", "relativeTimeRange": {"from": 0, "to": 0},
                 "model": {"refId": "C", "type": "threshold", "expression": "A",
                           "conditions": [{"evaluator": {"type": condition, "params": [threshold]}}]}},
            ],
        }

    def _put(self, rule: dict[str, Any]) -> None:
        path = "/api/v1/provisioning/alert-rules"
        try:
            self._ask("PUT", f"{path}/{rule['uid']}", rule)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            self._ask("POST", path, rule)

    def _datasource(self) -> str:
        sources = [source for source in self._ask("GET", "/api/datasources") if source["type"] == "prometheus"]
        wanted = [source for source in sources if self.datasource in (None, source["uid"], source["name"])]
        if not wanted:
            raise ValueError(f"it has no data source of type prometheus{f' called {self.datasource!r}' if self.datasource else ''}")
        return str(next((source for source in wanted if source.get("isDefault")), wanted[0])["uid"])

    def _folder(self) -> str:
        for folder in self._ask("GET", "/api/folders?limit=1000"):
            if folder["title"] == self.folder:
                return str(folder["uid"])
        return str(self._ask("POST", "/api/folders", {"title": self.folder})["uid"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._api_key}", "Accept": "application/json", "X-Disable-Provenance": "true"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.grafana_url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")


_ERROR_RATE = 'max by (experiment) (chaos_operation_errors{phase="fault"} / (chaos_operations{phase="fault"} > 0))'
