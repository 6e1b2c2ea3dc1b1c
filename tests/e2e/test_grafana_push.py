# SPDX-License-Identifier: MIT
"""`grafana push`, against a double that refuses what Grafana's documentation says Grafana refuses."""
import json
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from grafana_double import Grafana
from test_prometheus import free_address

RULES = "/api/v1/provisioning/alert-rules"


def push(chaoseater, grafana, *arguments, token="glsa_secret", **environment):
    env = dict(chaoseater.env, **environment)
    if token:
        env["GRAFANA_TOKEN"] = token
    return chaoseater("grafana", "push", "--url", grafana if isinstance(grafana, str) else grafana.url, *arguments, env=env)


def stored(grafana):
    return [set(grafana.folders), set(grafana.dashboards), set(grafana.rules)]


def refused(done, code, *says):
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.startswith("chaoseater: ") and done.stderr.count("\n") == 1, done.stderr
    assert "glsa" not in done.stderr and "secret" not in done.stderr, done.stderr
    assert all(word in done.stderr for word in says), done.stderr


# ---- what is stored ----


@pytest.mark.parametrize("prefix", ["", "/grafana"])
def test_everything_is_stored_and_stored_again(chaoseater, prefix):
    with Grafana(prefix=prefix) as grafana:
        done = push(chaoseater, grafana)
        assert done.returncode == 0 and f"{prefix}/d/chaoseater-overview" in done.stdout and "9 alert rules" in done.stdout, done
        first = json.dumps([grafana.folders, grafana.rules])
        assert stored(grafana) == [{"chaoseater"}, {"chaoseater-overview"}, set(grafana.rules)] and len(grafana.rules) == 9
        assert grafana.folders["chaoseater"]["title"] == "ChaosEater"
        done = push(chaoseater, grafana, "--json")
        assert json.loads(done.stdout) == {"datasource": "prom-1", "folder": "chaoseater", "dashboard": "chaoseater-overview",
                                           "path": f"{prefix}/d/chaoseater-overview/x", "rules": 9}
        assert json.dumps([grafana.folders, grafana.rules]) == first
        (one,) = grafana.dashboards.values()
        assert one["version"] == 2 and one["folder"] == "chaoseater"
        assert one["dashboard"] == json.loads(chaoseater("grafana", "dashboard").stdout)
        assert all(rule["folderUID"] == "chaoseater" and rule["editable"] for rule in grafana.rules.values())
        assert {rule["data"][0]["datasourceUid"] for rule in grafana.rules.values()} == {"prom-1"}
        assert not [call for call in grafana.calls if call[0] == "DELETE"]


def test_the_rules_are_those_of_the_file(chaoseater):
    limits = ["--min-score", 90, "--max-recovery", "5s", "--max-error-rate", "0"]
    with Grafana() as grafana:
        assert push(chaoseater, grafana, *limits, "--title", "Mine", "--token", "glsa_secret", token=None).returncode == 0
        rules = json.loads(json.dumps(grafana.rules))
        assert grafana.dashboards["chaoseater-overview"]["dashboard"]["title"] == "Mine"
    document = json.loads(chaoseater("grafana", "alerts", "--format", "grafana", "--datasource", "prom-1", "--json", *limits).stdout)
    for rule in document["groups"][0]["rules"]:
        rule |= {"orgID": 1, "folderUID": "chaoseater", "ruleGroup": document["groups"][0]["name"], "editable": True}
        assert rules.pop(rule["uid"]) == rule
    assert not rules


def test_panels_of_one_s_own_are_stored_too(chaoseater):
    (chaoseater.folder / "mine.json").write_text('{"type": "text", "title": "mine"}')
    with Grafana() as grafana:
        assert push(chaoseater, grafana, "--panel", "mine.json").returncode == 0
        assert grafana.dashboards["chaoseater-overview"]["dashboard"]["panels"][-1]["title"] == "mine"
        refused(push(chaoseater, grafana, "--panel", "none.json"), 2, "none.json")
        assert grafana.dashboards["chaoseater-overview"]["version"] == 1


def test_a_folder_is_found_by_its_name(chaoseater):
    with Grafana() as grafana:
        grafana.folders["x1"] = {"uid": "x1", "title": "ML \"plat\\form\" ü"}
        assert push(chaoseater, grafana, "--folder", "ML \"plat\\form\" ü").returncode == 0
        assert stored(grafana)[0] == {"x1"} and grafana.dashboards["chaoseater-overview"]["folder"] == "x1"
        # A new one is made once, whatever it is called, and stays what it is when somebody renames it.
        for _ in range(2):
            assert push(chaoseater, grafana, "--folder", "Chaos / nightly").returncode == 0
        assert len(grafana.folders) == 2
        (uid,) = set(grafana.folders) - {"x1"}
        assert uid.startswith("chaoseater-") and grafana.folders[uid]["title"] == "Chaos / nightly"
        grafana.folders[uid]["title"] = "renamed"
        assert push(chaoseater, grafana, "--folder", "Chaos / nightly").returncode == 0 and len(grafana.folders) == 2
        # The rules have moved along.
        assert {rule["folderUID"] for rule in grafana.rules.values()} == {uid} and len(grafana.rules) == 9
        refused(push(chaoseater, grafana, "--folder="), 2)


def test_the_data_source_is_the_default_one_of_prometheus(chaoseater):
    with Grafana() as grafana:
        grafana.datasources.append({"uid": "prom-2", "type": "prometheus", "isDefault": True})
        assert json.loads(push(chaoseater, grafana, "--json").stdout)["datasource"] == "prom-2"
        assert json.loads(push(chaoseater, grafana, "--json", "--datasource", "prom-1").stdout)["datasource"] == "prom-1"
        grafana.rules.clear()
        refused(push(chaoseater, grafana, "--datasource", "prom-9"), 4, "'prom-9'", "404")
        refused(push(chaoseater, grafana, "--datasource", "../x"), 2, "'../x'")
        grafana.datasources = grafana.datasources[:1]
        refused(push(chaoseater, grafana), 4, "no data source", "prometheus")
        assert not grafana.rules
    # Many a token may store, but not look at data sources.
    with Grafana() as grafana:
        no = (403, {}, {"message": "You'll need additional permissions"})
        grafana.fail = {("GET", "/api/datasources"): no, ("GET", "/api/datasources/uid/prom-1"): no}
        refused(push(chaoseater, grafana), 4, "403", "--datasource")
        assert not any(stored(grafana))
        assert push(chaoseater, grafana, "--datasource", "prom-1").returncode == 0


def test_two_that_make_the_folder_at_once_both_get_it(chaoseater):
    with Grafana() as grafana:
        answer = grafana.add_folder

        def too_late(body):
            answer(body)
            return answer(body)
        grafana.add_folder = too_late
        assert push(chaoseater, grafana).returncode == 0
        assert stored(grafana)[0] == {"chaoseater"}


# ---- what goes wrong ----

STEPS = [("GET", "/api/datasources"), ("GET", "/api/folders/chaoseater"), ("GET", "/api/folders"), ("POST", "/api/folders"),
         ("POST", "/api/dashboards/db"), ("PUT", f"{RULES}/chaoseater-low-score"), ("POST", RULES)]


@pytest.mark.parametrize("status, says", [(400, "refused"), (401, "know the token"), (403, "editor"), (404, "is that Grafana"),
                                          (409, "in the way"), (412, "in the way"), (500, "failed"), (503, "failed"), (302, "refused")])
def test_what_is_refused_is_one_sentence(chaoseater, status, says):
    with Grafana() as grafana:
        for method, path in STEPS:
            if status == 404 and (method, path) in (STEPS[1], STEPS[5]):
                continue  # it is not there yet
            grafana.fail = {(method, path): (status, {"Location": "http://127.0.0.1:1/"}, {"message": "some words"})}
            done = push(chaoseater, grafana)
            refused(done, 4, f"status {status}")
            assert "--datasource" in done.stderr or (says in done.stderr and "some words" in done.stderr), done.stderr
        # Nothing of that is in the way of the next one.
        grafana.fail = {}
        assert push(chaoseater, grafana).returncode == 0 and len(grafana.rules) == 9


def test_a_token_is_never_shown(chaoseater):
    with Grafana() as grafana:
        refused(push(chaoseater, grafana, token="glsa_wrong"), 4, "401", "Invalid API key")
        grafana.fail = {("GET", "/api/datasources"): (401, {}, {"message": "no account has glsa_secret"})}
        refused(push(chaoseater, grafana), 4, "401")
        done = push(chaoseater, grafana, "--json")
        error = json.loads(done.stdout)["error"]
        assert done.returncode == 4 and error["exit_code"] == 4 and "glsa" not in done.stdout + done.stderr
        refused(push(chaoseater, grafana, token="glsa_secret\r\nX-Evil: 1"), 2, "token")
        refused(push(chaoseater, grafana.url.replace("//", "//me:glsa_secret@")), 2, "user")
        assert all("X-Evil" not in call[3] for call in grafana.calls)


@pytest.mark.parametrize("status, headers, body", [
    (200, {"Content-Type": "text/html"}, b"<html>log in</html>"), (200, {}, b"{}"), (200, {}, b"[1, null, {\"type\": \"prometheus\"}]"),
    (200, {}, b""), (200, {}, b"[" * 100000), (204, {}, b""),
])
def test_something_that_is_no_grafana_is_said_so(chaoseater, status, headers, body):
    with Grafana() as grafana:
        grafana.fail = {("GET", "/api/datasources"): (status, headers, body)}
        refused(push(chaoseater, grafana), 4, grafana.url)
        grafana.fail = {("GET", "/api/folders/chaoseater"): (status, headers, body)}
        refused(push(chaoseater, grafana), 4, grafana.url)


def test_one_that_is_not_there_is_said_so(chaoseater):
    url = f"http://{free_address()}"
    refused(push(chaoseater, url), 4, url, "refused")
    with socket.socket() as hangs_up:
        hangs_up.bind(("127.0.0.1", 0))
        hangs_up.listen()
        process = subprocess.Popen([chaoseater.program, "grafana", "push", "--url", "127.0.0.1:%d" % hangs_up.getsockname()[1]],
                                   env=dict(chaoseater.env, GRAFANA_TOKEN="glsa_secret"), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        hangs_up.accept()[0].close()
        out, err = process.communicate(timeout=60)
        refused(subprocess.CompletedProcess([], process.returncode, out, err), 4, "127.0.0.1")


@pytest.mark.parametrize("url, token, says", [
    (None, "glsa_secret", "--url URL"), ("http://h", "", "GRAFANA_TOKEN"), ("http://h", None, "GRAFANA_TOKEN"),
    ("ftp://h", "glsa_secret", "'ftp://h'"), ("h2c://h:1", "glsa_secret", "HTTP/2"), ("http://", "glsa_secret", "no host"),
    ("http://h/?orgId=1", "glsa_secret", "query"),
])
def test_wrong_usage_is_said_in_one_sentence(chaoseater, url, token, says):
    env = dict(chaoseater.env, **({} if token is None else {"GRAFANA_TOKEN": token}))
    env.pop("GRAFANA_TOKEN", None) if token is None else None
    refused(chaoseater("grafana", "push", *(["--url", url] if url else []), env=env), 2, says)


# ---- the double itself ----


def call(grafana, method, path, body, **headers):
    headers = {"Authorization": "Bearer glsa_secret", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(grafana.url + path, json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_double_is_strict(chaoseater):
    with Grafana() as grafana:
        assert push(chaoseater, grafana).returncode == 0
        dashboard = grafana.dashboards["chaoseater-overview"]["dashboard"]
        rule = dict(grafana.rules["chaoseater-low-score"])
        rule.pop("editable")
        good = {"dashboard": dashboard, "folderUid": "chaoseater", "overwrite": True}
        editable = {"X-Disable-Provenance": "true"}
        assert call(grafana, "POST", "/api/dashboards/db", good) == 200
        assert call(grafana, "PUT", f"{RULES}/{rule['uid']}", rule, **editable) == 200
        for body, status in [({**good, "overwrite": False}, 412), ({**good, "folderUid": "x"}, 400), ({**good, "x": 1}, 400),
                             ({**good, "dashboard": {**dashboard, "title": ""}}, 400), ({**good, "dashboard": {**dashboard, "id": 7}}, 404)]:
            assert call(grafana, "POST", "/api/dashboards/db", body) == status, body.keys()
        assert call(grafana, "POST", "/api/dashboards/db", good, Authorization="Bearer x") == 401
        assert call(grafana, "POST", "/api/dashboards/db", good, **{"Content-Type": "text/plain"}) == 415
        assert call(grafana, "POST", "/api/folders", {"uid": "chaoseater", "title": "other"}) == 412
        assert call(grafana, "POST", "/api/folders", {"uid": "other", "title": "ChaosEater"}) == 409
        assert call(grafana, "PUT", f"{RULES}/{rule['uid']}", rule) == 409
        assert call(grafana, "POST", RULES, rule, **editable) == 400
        for change in [{"condition": "Z"}, {"data": []}, {"noDataState": "x"}, {"for": "soon"}, {"folderUID": "x"}, {"title": ""}, {"x": 1},
                       {"labels": {"a": 1}}, {"data": [{**rule["data"][0], "datasourceUid": "x"}, rule["data"][1]]}]:
            assert call(grafana, "PUT", f"{RULES}/{rule['uid']}", rule | change, **editable) == 400, change
