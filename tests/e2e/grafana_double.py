# SPDX-License-Identifier: MIT
"""A double of Grafana's HTTP API, as strict as its documentation: folders, dashboards, data sources, alert rules.

It is no Grafana. It keeps what is stored, and refuses what the documented rules refuse: unknown tokens, unknown keys,
missing fields, names and uids that are taken, folders and data sources that are not there.
"""
import http.server
import json
import re
import threading
import urllib.parse

UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
RULE_KEYS = {"uid", "orgID", "folderUID", "ruleGroup", "title", "condition", "data", "noDataState", "execErrState", "for",
             "isPaused", "labels", "annotations"}
QUERY_KEYS = {"refId", "queryType", "relativeTimeRange", "datasourceUid", "model"}


class Refused(Exception):
    def __init__(self, status, message, /, **more):
        super().__init__(message)
        self.status, self.body = status, {"message": message, **more}


def need(condition, status, message, /, **more):
    if not condition:
        raise Refused(status, message, **more)


class Grafana:
    """`prefix`: it is served under that path. `fail`: {(method, path): (status, headers, body)} answers instead."""

    def __init__(self, token="glsa_secret", prefix=""):
        self.token, self.prefix, self.fail = token, prefix, {}
        self.folders, self.dashboards, self.rules = {}, {}, {}
        self.datasources = [{"uid": "loki-1", "type": "loki", "isDefault": True},
                            {"uid": "prom-1", "type": "prometheus", "isDefault": False}]
        self.calls = []
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                size = int(self.headers.get("Content-Length") or 0)
                status, headers, body = double.answer(self.command, self.path, self.headers, self.rfile.read(size))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}{prefix}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, target, headers, data):
        path, _, query = target.partition("?")
        self.calls.append((method, path, query, headers, data))
        try:
            need(path.startswith(self.prefix + "/"), 404, "Not found")
            path = path[len(self.prefix):]
            if (method, path) in self.fail:
                return self.fail[method, path]
            need(headers.get("Authorization") == f"Bearer {self.token}", 401, "Invalid API key")
            body = None
            if method in ("POST", "PUT"):
                need(headers.get("Content-Type") == "application/json", 415, "unsupported media type")
                try:
                    body = json.loads(data)
                except ValueError as error:
                    raise Refused(400, "bad request data") from error
            return self.route(method, path, urllib.parse.parse_qs(query), headers, body)
        except Refused as refused:
            return refused.status, {}, refused.body

    def route(self, method, path, query, headers, body):
        routes = [
            ("GET", r"/api/folders", lambda: (200, {}, list(self.folders.values()))),
            ("POST", r"/api/folders", lambda: self.add_folder(body)),
            ("GET", r"/api/folders/([^/]+)", lambda uid: self.one(self.folders, uid, "folder not found")),
            ("GET", r"/api/datasources", lambda: (200, {}, self.datasources)),
            ("GET", r"/api/datasources/uid/([^/]+)",
             lambda uid: self.one({one["uid"]: one for one in self.datasources}, uid, "Data source not found")),
            ("POST", r"/api/dashboards/db", lambda: self.store_dashboard(body)),
            ("POST", r"/api/v1/provisioning/alert-rules", lambda: self.add_rule(headers, body)),
            ("PUT", r"/api/v1/provisioning/alert-rules/([^/]+)", lambda uid: self.replace_rule(headers, uid, body)),
        ]
        for verb, pattern, answer in routes:
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                return answer(*match.groups())
        raise Refused(404, "Not found")

    @staticmethod
    def one(things, uid, missing):
        need(uid in things, 404, missing)
        return 200, {}, things[uid]

    def add_folder(self, body):
        need(isinstance(body, dict) and body.keys() <= {"uid", "title", "parentUid"}, 400, "bad request data")
        need(body.get("title"), 400, "folder title cannot be empty")
        need(UID.fullmatch(body["uid"]), 400, "uid contains illegal characters")
        need(body["uid"] not in self.folders, 412, "a folder with the same uid already exists")
        need(body["title"] not in [one["title"] for one in self.folders.values()], 409,
             "a folder with the same name already exists in the current location")
        self.folders[body["uid"]] = {"id": len(self.folders) + 1, "version": 1, **body}
        return 200, {}, self.folders[body["uid"]]

    def store_dashboard(self, body):
        need(body.keys() <= {"dashboard", "folderUid", "folderId", "message", "overwrite"}, 400, "bad request data")
        dashboard = body["dashboard"]
        need(dashboard.get("title") and "spec" not in dashboard, 400, "Dashboard title cannot be empty", status="empty-name")
        need(dashboard.get("id") is None, 404, "Dashboard not found", status="not-found")
        need(UID.fullmatch(dashboard["uid"]), 400, "uid contains illegal characters")
        need(body.get("folderUid") in self.folders, 400, "folder not found")
        old = self.dashboards.get(dashboard["uid"])
        need(old is None or body.get("overwrite") is True, 412, "The dashboard has been changed by someone else",
             status="version-mismatch")
        version = old["version"] + 1 if old else 1
        self.dashboards[dashboard["uid"]] = {"version": version, "folder": body["folderUid"], "dashboard": dashboard}
        return 200, {}, {"id": 1, "uid": dashboard["uid"], "url": f"{self.prefix}/d/{dashboard['uid']}/x", "status": "success",
                         "version": version, "slug": "x"}

    def check_rule(self, rule, uid):
        need(rule.keys() == RULE_KEYS, 400, f"keys {sorted(rule.keys() ^ RULE_KEYS)}")
        need(UID.fullmatch(uid) and rule["uid"] == uid, 400, "invalid uid")
        need(rule["title"] and len(rule["title"]) <= 190 and rule["ruleGroup"], 400, "title or group is empty")
        need(rule["folderUID"] in self.folders, 400, "folder does not exist")
        need(rule["noDataState"] in ("OK", "NoData", "Alerting", "KeepLast"), 400, "unknown no data state")
        need(rule["execErrState"] in ("OK", "Error", "Alerting", "KeepLast"), 400, "unknown error state")
        need(re.fullmatch(r"(\d+[smhd])+", rule["for"]), 400, "not a valid duration")
        need(all(isinstance(value, str) for value in [*rule["labels"].values(), *rule["annotations"].values()]), 400, "not a text")
        names = [query["refId"] for query in rule["data"]]
        need(names and len(set(names)) == len(names), 400, "refIds are not unique")
        need(rule["condition"] in names, 400, "condition does not exist")
        sources = {"__expr__", *(one["uid"] for one in self.datasources)}
        for query in rule["data"]:
            need(query.keys() == QUERY_KEYS, 400, "unknown keys of a query")
            need(query["datasourceUid"] in sources, 400, "data source not found")
            span = query["relativeTimeRange"]
            need(query["datasourceUid"] == "__expr__" or span["from"] > span["to"] >= 0, 400, "invalid relative time range")
        titles = [one["title"] for name, one in self.rules.items() if one["folderUID"] == rule["folderUID"] and name != uid]
        need(rule["title"] not in titles, 400, "a conflicting alert rule is found: rule title under the same folder")

    def add_rule(self, headers, rule):
        need(rule.get("uid") not in self.rules, 400, "rule UID is taken")
        self.check_rule(rule, rule.get("uid", ""))
        self.rules[rule["uid"]] = rule | {"editable": headers.get("X-Disable-Provenance") == "true"}
        return 201, {}, rule

    def replace_rule(self, headers, uid, rule):
        need(uid in self.rules, 404, "")  # without a word, as the real one
        need(self.rules[uid]["editable"] == (headers.get("X-Disable-Provenance") == "true"), 409,
             "cannot change provenance from 'api' to ''")
        self.check_rule(rule, uid)
        self.rules[uid] = rule | {"editable": self.rules[uid]["editable"]}
        return 200, {}, rule
