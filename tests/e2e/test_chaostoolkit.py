# SPDX-License-Identifier: MIT
"""Experiments of the Chaos Toolkit: run here as they are run there, and with what they lack there."""
import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

import peers
from lab import Lab, comm, wait_for

PEER = ["chaostoolkit==1.19.0", "chaostoolkit-lib[jsonpath]==1.44.0"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size).decode()
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        path = self.path.partition("?")[0]
        if path == "/moved":
            return self.send(302, "text/plain", b"", Location="/ok")
        if path == "/slow":
            self.rfile.read(1)  # until the client has given up
        if path.startswith("/status/"):
            self.server.status = int(path.rpartition("/")[2])
        status = self.server.status if path in ("/state", "/busy") else 200
        if path == "/busy":
            status = 503
        if path == "/json":
            return self.send(200, "application/json", b'{"a": {"b": [1, 2, {"c": "x"}]}, "n": 0.75}')
        return self.send(status, "text/plain", b"all is well")

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def send(self, status, kind, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.asked, made.status = [], 200
        made.url = f"http://127.0.0.1:{made.server_port}"
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


# ---- documents

def sh(script, *arguments, **more):
    return {"type": "process", "path": "sh", "arguments": ["-c", script, *arguments], **more}


def call(url, **more):
    return {"type": "http", "url": url, **more}


def action(name, provider, **more):
    return {"type": "action", "name": name, "provider": provider, **more}


def probe(name, provider, **more):
    return {"type": "probe", "name": name, "provider": provider, **more}


def experiment(*method, probes=(), rollbacks=(), **more):
    document = {"version": "1.0.0", "title": "an experiment", "description": "of a test", "method": list(method),
                "rollbacks": list(rollbacks), **more}
    if probes:
        document["steady-state-hypothesis"] = {"title": "all is well", "probes": list(probes)}
    return document


def write(lab, document, name="experiment.json"):
    path = lab.folder / name
    path.write_text(json.dumps(document, indent=2))
    return path


def run(lab, document, *options, **environment):
    """Exit code and journal."""
    journal = lab.folder / "ours.json"
    done = lab.run("run", write(lab, document), "--report", f"chaostoolkit={journal}", *options, **environment)
    assert journal.exists(), done.stderr
    return done.returncode, json.loads(journal.read_text())


def entries(journal):
    """What happened, without when."""
    def brief(entry):
        return entry["activity"]["name"], entry["status"], entry.get("tolerance_met")

    def state(found):
        return found and (found["steady_state_met"], [brief(entry) for entry in found["probes"]])

    states = journal["steady_states"]
    return {"status": journal["status"], "deviated": journal["deviated"], "before": state(states["before"]),
            "after": state(states["after"]), "run": [brief(entry) for entry in journal["run"]],
            "rollbacks": [brief(entry) for entry in journal["rollbacks"]]}


# ---- beside the tool itself

def tool():
    def make(folder):
        peers.run(sys.executable, "-m", "venv", "--without-pip", folder)
        peers.run(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q",
                  "--disable-pip-version-check", *PEER)

    return peers.made_once("chaostoolkit-jsonpath", make) / "bin" / "chaos"


def theirs(lab, path, **environment):
    chaos = tool()
    journal = lab.folder / "theirs.json"
    journal.unlink(missing_ok=True)
    done = subprocess.run([chaos.with_name("python"), chaos, "--no-version-check", "run", "--journal-path", journal, path],
                          cwd=lab.folder, env=dict(lab.env, HOME=str(lab.folder), **environment), capture_output=True, text=True)
    assert journal.exists(), done.stderr
    return json.loads(journal.read_text())


STATUS = {"type": "range", "range": [200, 299], "target": "status"}


def same(server):
    """{name: document}: what both can run."""
    url = server.url
    held = probe("well", call(url + "/ok"), tolerance=200)
    return {
        "held": experiment(action("nothing", sh("exit 0")), probes=[held]),
        "deviated": experiment(action("break it", call(url + "/status/500")), probes=[probe("state", call(url + "/state"), tolerance=200)]),
        "not met before": experiment(action("nothing", sh("exit 0")), probes=[probe("busy", call(url + "/busy"), tolerance=200)]),
        "first one decides": experiment(probes=[probe("no", sh("exit 3"), tolerance=0), held]),
        "empty method": experiment(probes=[held]),
        "no hypothesis": experiment(action("nothing", sh("exit 0")), probe("look", call(url + "/json"))),
        "refused": experiment(probes=[probe("nobody", call("http://127.0.0.1:9/"), tolerance=200)]),
        "action refused": experiment(action("nobody", call("http://127.0.0.1:9/")), probes=[held]),
        "took too long": experiment(action("slow", sh("sleep 9", timeout=0.3)), action("slow call", call(url + "/slow", timeout=0.3)), probes=[held]),
        "one of a list": experiment(probes=[probe("listed", sh("exit 3"), tolerance=[1, 3, 5])]),
        "a pair is a list": experiment(probes=[probe("listed", sh("exit 3"), tolerance=[1, 5])]),
        "range": experiment(probes=[probe("r", sh("echo 0.5"), tolerance={"type": "range", "range": [0.25, 1], "target": "stdout"}),
                                    probe("s", call(url + "/ok"), tolerance=STATUS)]),
        "outside of range": experiment(probes=[probe("r", sh("echo 5"), tolerance={"type": "range", "range": [0, 1], "target": "stdout"})]),
        "no number": experiment(probes=[probe("r", sh("echo x"), tolerance={"type": "range", "range": [0, 1], "target": "stdout"})]),
        "regex": experiment(probes=[probe("r", call(url + "/ok"), tolerance={"type": "regex", "pattern": r"^all\s(?:is|was)\s\w+?$", "target": "body"})]),
        "regex not": experiment(probes=[probe("r", sh("echo 12-x"), tolerance={"type": "regex", "pattern": r"^\d{3}-", "target": "stdout"})]),
        "redirect": experiment(probes=[probe("moved", call(url + "/moved"), tolerance=200)]),
        "in the background": experiment(action("beside", sh("sleep 0.4"), background=True), action("first", sh("exit 0")), probes=[held]),
        "configuration": experiment(action("set", sh("test \"$0\" = 17 -a \"$1\" = a-17-b -a \"$2\" = '${other}'", "${n}", "a-${n}-b", "${other}")),
                                    probes=[probe("env", sh("exit $0", "${code}"), tolerance=4)],
                                    configuration={"n": 17, "code": {"type": "env", "key": "CODE", "env_var_type": "int"}}),
        "secrets": experiment(action("use", sh("test $0 = hidden", "${token}")), probes=[held],
                              secrets={"service": {"token": {"type": "env", "key": "TOKEN"}}}),
        "arguments": experiment(probe("text", {"type": "process", "path": "sh", "arguments": "-c 'echo $((1 + 2))'"}),
                                probe("mapping", {"type": "process", "path": "echo", "arguments": {"-n": "x", "--flag": ""}}), probes=[held]),
        "reference": experiment({"ref": "well"}, probes=[held]),
        "continuously": experiment(action("wait", sh("sleep 0.3")), probes=[held],
                                   runtime={"hypothesis": {"strategy": "continuously"}, "rollbacks": {"strategy": "always"}}),
        "after only": experiment(action("break it", call(url + "/status/500")), probes=[probe("state", call(url + "/state"), tolerance=200)],
                                 runtime={"hypothesis": {"strategy": "after-method-only"}, "rollbacks": {"strategy": "always"}}),
    }


def back(url, **more):
    return action("put it back", call(url + "/status/200"), **more)


def whole(server):
    """{name: document}: experiments as people write them, from the hypothesis to the rollbacks."""
    url, always = server.url, {"rollbacks": {"strategy": "always"}}
    state = probe("service answers", call(url + "/state", timeout=3), tolerance=200)
    fall = action("the service falls", call(url + "/status/503"))
    bearer = {"Authorization": "Bearer ${token}", "X-Plain": "yes"}
    secrets = {"service": {"token": {"type": "env", "key": "TOKEN"}, "word": "plain"}}
    number = {"type": "jsonpath", "path": "$.a.b[0]", "expect": 1, "target": "body"}
    return {
        "a service that falls and is put back": experiment(fall, probes=[state], rollbacks=[back(url)], runtime=always),
        "a service that comes back by itself": experiment(
            fall, action("it comes back", call(url + "/status/200"), pauses={"before": 0.05, "after": 0.05}), probes=[state],
            rollbacks=[back(url)]),
        "two probes, one of them bent": experiment(
            fall, probes=[probe("body", call(url + "/ok"), tolerance={"type": "regex", "pattern": "all is (well|fine)", "target": "body"}), state],
            rollbacks=[back(url), action("say so", sh("echo done"))], runtime=always),
        "a secret in a header": experiment(
            action("with it", call(url + "/ok", headers=bearer, secrets=["service"])),
            action("in a program", sh('test "$0" = hidden', "${token}")), secrets=secrets,
            probes=[probe("asks with it", call(url + "/json", headers=bearer), tolerance=number, secrets=["service"])],
            rollbacks=[action("forget", call(url + "/ok", method="DELETE", headers=bearer))], runtime=always),
        "configuration in every place": experiment(
            action("post", call("${base}/ok?n=${n}", method="POST", arguments={"n": "${n}", "list": ["$n", "x-${n}"]})),
            probe("count", sh("echo $0", "${n}"), tolerance={"type": "range", "range": [16, 18], "target": "stdout"}),
            probes=[probe("there", call("${base}/state"), tolerance=[200, 204])], rollbacks=[action("echo", sh("echo ${n} $$"))],
            configuration={"base": url, "n": 17}, runtime=always),
        "what nobody knows stays": experiment(
            action("as it is", sh('test "$0 $1 $2 $3" = \'${nobody} $nobody ${a-b} 5$ \'',
                                       "${nobody}", "$nobody", "${a-b}", "5$$ ")),
            action("of the environment", sh('test "$CODE" = 4')), action("asks", call(url + "/ok?q=${nobody}")),
            probes=[state], runtime=always),
        "tolerances of programs": experiment(
            probes=[probe("text", sh("echo up 12 min"), tolerance={"type": "regex", "pattern": "up [0-9]+ min", "target": "stdout"}),
                    probe("errors", sh("echo oops >&2"), tolerance={"type": "regex", "pattern": "^oops", "target": "stderr"}),
                    probe("codes", sh("exit 2"), tolerance=[0, 2]),
                    probe("json", sh("echo '{\"up\": [1, 1, 0]}'"), tolerance={"type": "jsonpath", "path": "$.up[*]", "count": 3, "target": "stdout"})]),
        "a program that is late": experiment(
            action("late", sh("sleep 9", timeout=0.2)), probe("look", sh("sleep 9", timeout=0.2)), probes=[state],
            rollbacks=[action("late as well", sh("exit 1"))], runtime=always),
        "rolled back even if nothing was met": experiment(
            action("never", sh("exit 0")), probes=[probe("busy", call(url + "/busy"), tolerance=200)], rollbacks=[back(url)], runtime=always),
        "rolled back when it deviated": experiment(fall, probes=[state], rollbacks=[back(url)], runtime={"rollbacks": {"strategy": "deviated"}}),
        "not rolled back when it did not": experiment(action("nothing", sh("exit 0")), probes=[state], rollbacks=[back(url)],
                                                      runtime={"rollbacks": {"strategy": "deviated"}}),
        "never rolled back": experiment(fall, probes=[state], rollbacks=[back(url)], runtime={"rollbacks": {"strategy": "never"}}),
        "rolled back by default": experiment(fall, probes=[state], rollbacks=[back(url)]),
        "watched while it lasts": experiment(  # it holds: of one that does not, theirs forgets what was seen meanwhile
            action("a while", sh("sleep 0.5")), probes=[state], rollbacks=[back(url)],
            runtime={"hypothesis": {"strategy": "during-method-only", "frequency": 0.1}, **always}),
        "not looked at": experiment(fall, probes=[state], rollbacks=[back(url)], runtime={"hypothesis": {"strategy": "skip"}, **always}),
        "a step that stays in the background": experiment(
            action("beside", sh("sleep 0.3; exit 0"), background=True), probe("by reference", call(url + "/json")), {"ref": "service answers"},
            probes=[state], rollbacks=[{"ref": "service answers"}], runtime=always),
    }


ENVIRONMENT = {"CODE": "4", "TOKEN": "hidden"}


JSONPATHS = [
    ({"path": "$.a.b[*]", "count": 3}, True),
    ({"path": "$.a.b[*]", "count": 2}, False),
    ({"path": '$.a["b"][0]', "expect": 1}, True),
    ({"path": "$.a.b[-1].c", "expect": ["x"]}, True),
    ({"path": "$..c", "expect": "x"}, True),
    ({"path": "$..c", "expect": "y"}, False),
    ({"path": "$.n", "expect": 0.75}, True),
    ({"path": "$.none"}, False),
    ({"path": "$.none", "count": 0}, True),
]


def path_experiment(server, path):
    return experiment(probes=[probe("p", call(server.url + "/json"), tolerance={"type": "jsonpath", "target": "body", **path})])


def paths(server):
    return {str(path): path_experiment(server, path) for path, _ in JSONPATHS}


@pytest.mark.parametrize("documents", [same, whole, paths])
def test_the_tool_itself_says_the_same(server, documents):
    """Status, deviation, and what became of each activity."""
    differing = {}
    with Lab() as lab:
        tool()
        for name, document in documents(server).items():
            server.status = 200
            path = write(lab, document)
            wanted = entries(theirs(lab, path, **ENVIRONMENT))
            server.status = 200
            _, journal = run(lab, document, **ENVIRONMENT)
            if entries(journal) != wanted:
                differing[name] = (entries(journal), wanted)
    assert not differing, json.dumps(differing, indent=1)


def test_outputs_are_the_same(server):
    with Lab() as lab:
        document = experiment(probe("json", call(server.url + "/json")), probe("words", sh("echo out; echo err >&2; exit 3")),
                              probe("killed", sh("kill -9 $$")), probe("form", call(server.url + "/ok", arguments={"a": "b c", "d": [1, 2]})),
                              action("post", call(server.url + "/ok", method="POST", arguments={"a": 1, "e": "é&"})),
                              action("json post", call(server.url + "/ok", method="PUT", arguments={"a": [1, None]},
                                                       headers={"Content-Type": "application/json"})))
        path = write(lab, document)
        wanted = theirs(lab, path)
        asked_by_them, server.asked[:] = list(server.asked), []
        _, journal = run(lab, document)

        def outputs(found):
            for entry in found["run"]:
                output = dict(entry["output"])
                output.pop("headers", None)
                yield output

        assert list(outputs(journal)) == list(outputs(wanted))

        def requests(asked):
            for method, where, headers, body in asked:
                kind = headers.get("Content-Type")
                yield method, where, kind, json.loads(body) if kind == "application/json" else body

        assert list(requests(server.asked)) == list(requests(asked_by_them))


# ---- what is ours

def test_exit_codes(server):
    well = probe("well", call(server.url + "/state"), tolerance=200)
    nothing = action("nothing", sh("exit 0"))
    cases = [
        (0, experiment(nothing, probes=[well])),
        (1, experiment(action("break", call(server.url + "/status/500")), probes=[well])),
        (6, experiment(nothing, probes=[probe("busy", call(server.url + "/busy"), tolerance=200)])),
        (4, experiment(action("fails", sh("exit 3")), probes=[well])),
        (4, experiment(action("refused", call(server.url + "/busy")), probes=[well])),
        (4, experiment(nothing)),
        (0, experiment(probe("look", sh("exit 3")), probes=[well])),
        (5, experiment(nothing, probes=[well], rollbacks=[action("hangs", sh("sleep 60", timeout=0.2))])),
    ]
    for code, document in cases:
        server.status = 200
        with Lab() as lab:
            assert run(lab, document)[0] == code, document


def test_a_rollback_that_failed_is_tried_again_by_recover(server):
    with Lab() as lab:
        flag, undone = lab.folder / "flag", lab.folder / "undone"
        back = action("back", sh(f"test -e {flag} || sleep 60; touch {undone}", timeout=0.3))
        code, journal = run(lab, experiment(action("nothing", sh("exit 0")), rollbacks=[back],
                                            probes=[probe("well", call(server.url + "/ok"), tolerance=200)]))
        assert (code, journal["rollbacks"][0]["status"]) == (5, "failed")
        assert lab.run("run", write(lab, experiment(rollbacks=[]))).returncode == 5
        flag.touch()
        assert lab.run("recover").returncode == 0
        assert undone.exists()
        lab.clean_soon()


def words(lab, name):
    path = lab.folder / name
    return path.read_text().split() if path.exists() else []


def interruptible(lab, **more):
    """One that is live until it is ended, and writes down what is done."""
    def note(word, then=""):
        return sh(f"echo {word} >> {lab.folder}/done{then}")

    return experiment(action("begin", note("began")), action("stay", note("stays", "; sleep 300 & sleep 300")),
                      action("beside", note("beside", "; sleep 300"), background=True),
                      rollbacks=[action("first", note("first"), pauses={"after": 0.05}), action("second", note("second"))], **more)


@pytest.mark.parametrize("how, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), ("stop", 3), (signal.SIGKILL, -9)])
@pytest.mark.parametrize("strategy", ["default", "deviated", "never"])
def test_rollbacks_are_done_however_it_ends(how, code, strategy):
    with Lab() as lab:
        document = interruptible(lab, runtime={"rollbacks": {"strategy": strategy}})
        process = lab.start("run", write(lab, document), "--report", f"chaostoolkit={lab.folder / 'ours.json'}")
        wait_for(lambda: "stays" in words(lab, "done"), "the method")
        if how == "stop":
            assert lab.run("stop").returncode == 0
        else:
            process.send_signal(how)
        process.communicate(timeout=60)
        assert process.returncode == code
        wanted = ["began", "stays"] + ([] if strategy == "never" else ["first", "second"])
        wait_for(lambda: words(lab, "done") == wanted, f"done: {words(lab, 'done')}", 20)
        wait_for(lambda: not lab.processes(), f"still there: {lab.processes()}")
        if how == "stop":
            assert lab.run("stop", "--release").returncode == 0
        lab.clean_soon()
        if how != signal.SIGKILL:
            journal = json.loads((lab.folder / "ours.json").read_text())
            assert journal["status"] == ("aborted" if how == "stop" else "interrupted")
            assert [entry["status"] for entry in journal["run"]] == ["succeeded", "aborted"]


def test_after_a_kill_rollbacks_come_after_what_they_roll_back():
    with Lab() as lab:
        document = experiment(action("stay", sh(f"echo $$ > {lab.folder}/pid; sleep 300")),
                              rollbacks=[action("back", sh(f"kill -0 $(cat {lab.folder}/pid) && echo there > {lab.folder}/done"
                                                           f" || echo gone > {lab.folder}/done"))])
        process = lab.start("run", write(lab, document))
        wait_for(lambda: words(lab, "pid"), "the method")
        process.kill()
        wait_for(lambda: words(lab, "done"), "the rollback")
        assert words(lab, "done") == ["gone"]
        lab.clean_soon()


def test_what_is_in_the_background_is_ended_with_the_run():
    with Lab() as lab:
        document = experiment(action("beside", sh(f"echo beside >> {lab.folder}/done; sleep 300"), background=True),
                              action("stay", sh("sleep 300")))
        process = lab.start("run", write(lab, document))
        wait_for(lambda: words(lab, "done"), "the activity in the background")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        lab.clean_soon()


def test_who_watches_over_an_activity_may_be_held_up():
    with Lab() as lab:
        process = lab.start("run", write(lab, experiment(action("stay", sh(f"echo on >> {lab.folder}/done; sleep 300; true")))))
        wait_for(lambda: words(lab, "done"), "the activity")
        watcher = next(pid for pid in lab.processes() if comm(pid) == "ce-activity")
        os.kill(watcher, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        lab.clean_soon()


def test_a_secret_is_neither_in_the_journal_nor_on_disk(server):
    with Lab() as lab:
        document = experiment(action("stay", sh(f"echo on >> {lab.folder}/done; sleep 300")), secrets={"s": {"token": "plainly", "key": {"type": "env", "key": "KEY"}}},
                              rollbacks=[action("hidden", call(server.url + "/ok?key=${key}")), action("open", call(server.url + "/ok?open"))])
        path = write(lab, document)
        process = lab.start("run", path, "--report", f"chaostoolkit={lab.folder / 'ours.json'}", KEY="very-secret")
        wait_for(lambda: words(lab, "done"), "the method")
        notes = b"".join(file.read_bytes() for file in lab.state.rglob("*.cej"))
        assert b"/ok?open" in notes and b"very-secret" not in notes
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert "rollback 'hidden' holds a secret" in said
        assert [path for _, path, _, _ in server.asked] == ["/ok?key=very-secret", "/ok?open"]
        text = (lab.folder / "ours.json").read_text()
        assert "very-secret" not in text and "plainly" not in text


@pytest.mark.parametrize("path, met", [*JSONPATHS, ({"path": "$.a['b'][0]", "expect": 1}, True)], ids=str)
def test_paths(server, path, met):
    with Lab() as lab:
        _, journal = run(lab, path_experiment(server, path))
        assert journal["steady_states"]["before"]["steady_state_met"] is met


@pytest.mark.parametrize("document, sentence", [
    (experiment(action("a", {"type": "python", "module": "m", "func": "f"})), "provider: python calls a function"),
    (experiment(probes=[probe("p", sh("true"), tolerance=True)]), "which never equal it"),
    (experiment(probes=[probe("p", call("http://h"), tolerance=999)]), "this tolerance never holds: the status of an answer is in 100..599"),
    (experiment(probes=[probe("p", call("http://h"), tolerance=[0, 600])]), "this tolerance never holds: the status of an answer is in 100..599"),
    (experiment(probes=[probe("p", sh("true"), tolerance=999)]), "this tolerance never holds: an exit code is in 0..255"),
    (experiment(probes=[probe("p", sh("true"), tolerance={"type": "probe", "provider": {}})]), "a tolerance of type probe asks Python code"),
    (experiment(probes=[probe("p", sh("true"), tolerance={"type": "regex", "pattern": "(?=x)", "target": "stdout"})]), "looking ahead or behind is not supported"),
    (experiment(probes=[probe("p", sh("true"), tolerance={"type": "regex", "pattern": "x", "target": "body"})]), "target has to be status, stdout or stderr"),
    (experiment(probes=[probe("p", sh("true"), tolerance={"type": "jsonpath", "path": "$.a[?(@.x>1)]"})]), "at its character 5"),
    (experiment(probes=[probe("p", sh("true"))]), "needs a tolerance"),
    (experiment(probes=[action("p", sh("true"), tolerance=0)]), "a hypothesis consists of probes"),
    (experiment(action("a", {"type": "process", "path": "no-such-program"})), "there is no program 'no-such-program'"),
    (experiment(action("a", call("https://h/", verify_tls=False))), "a server's certificate is always checked"),
    (experiment(action("a", call("ftp://h/"))), "begins with neither http:// nor https://"),
    (experiment({"ref": "nothing"}), "there is no activity 'nothing'"),
    (experiment(configuration={"a": {"type": "env", "key": "NO_SUCH_VARIABLE"}}), "the environment has no variable 'NO_SUCH_VARIABLE'"),
    (experiment(secrets={"a": {"b": {"type": "vault", "key": "x"}}}), "there is no client for Vault here"),
    (experiment(rollback=[]), "unknown key 'rollback' of the document; did you mean 'rollbacks'?"),
    (experiment(runtime={"hypothesis": {"strategy": "often"}}), "strategy 'often' is not one of"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_run_is_refused_with_its_place(document, sentence):
    with Lab() as lab:
        path = write(lab, document)
        for command in ("run", "validate"):
            done = lab.run(command, path)
            assert done.returncode == 2, done.stderr
            assert sentence in done.stderr
            assert f"{path}:" in done.stderr
        assert not lab.leftovers()


def test_options(server):
    with Lab() as lab:
        path = write(lab, experiment(probes=[probe("p", sh("exit $0", "${code}"), tolerance=[7])], configuration={"code": 1}))
        assert lab.run("run", path, "--set", "code:int=7").returncode == 0
        assert lab.run("run", path).returncode == 6
        assert "1 activities would run" in lab.run("run", path, "--dry-run").stdout
        assert lab.run("validate", path).stdout.endswith(", valid\n")
        for options in (["--only", "x"], ["--resume"]):
            assert lab.run("run", path, *options).returncode == 2
        assert lab.run("gate", path).returncode == 2


def test_yaml_is_read_too(server):
    with Lab() as lab:
        path = lab.folder / "experiment.yaml"
        path.write_text(f"""\
title: in YAML
description: of a test
steady-state-hypothesis:
  title: well
  probes:
    - type: probe
      name: well
      tolerance: 200
      provider: {{type: http, url: "{server.url}/ok", timeout: 3}}
method:
  - type: action
    name: nothing
    provider: {{type: process, path: "true"}}
""")
        code, suite = lab.run_json("run", path)
        assert code == 0
        [made] = suite["runs"]
        assert (made["status"], made["verdict"], made["score"]["value"]) == ("completed", "passed", None)
        assert made["steady_state"][0]["held"] is True
        assert made["chaostoolkit"]["status"] == "completed"
        for report in (lab.run("run", path).stdout, lab.run("run", path, "--report", "junit=-").stdout):
            assert "in YAML" in report and "1 of 1 held" in report
            assert not re.search("score|downtime|accuracy", report), report


def test_json_as_python_writes_it():
    with Lab() as lab:
        title = 'a smile \U0001f600, a backslash \\ud83d, a \t and "quotes"'
        path = lab.folder / "experiment.json"
        path.write_text(json.dumps(experiment(title=title), indent="\t"))
        _, suite = lab.run_json("run", path)
        assert suite["runs"][0]["chaostoolkit"]["experiment"]["title"] == title


@pytest.mark.parametrize("title, name", [("what\nhappens\x1b[2J\tthen\n", "what happens [2J then"), ("\x9b1mé" * 90, "1mé " * 40),
                                         ("\U0001f600" * 70, "\U0001f600" * 50)])
def test_a_title_of_any_form_is_shown_on_one_line(title, name):
    with Lab() as lab:
        path = write(lab, experiment(action("nothing", sh("exit 0")), title=title))
        _, suite = lab.run_json("run", path)
        assert suite["runs"][0]["experiment"]["name"] == name.strip()
        assert suite["runs"][0]["chaostoolkit"]["experiment"]["title"] == title
        assert f"] {name.strip()} " in lab.run("run", path).stderr
        assert ": title: expected text" in lab.run("run", write(lab, experiment(title=" \n"))).stderr


def test_a_journal_of_our_own_experiments():
    with Lab() as lab:
        path = lab.document("slow_inference")
        journal = lab.folder / "journal.json"
        code = lab.run("run", path, "--report", f"chaostoolkit={journal}").returncode
        written = json.loads(journal.read_text())
        assert written["status"] == "completed"
        assert written["deviated"] == (code == 1)
        assert written["experiment"]["title"] == "slow_inference_test"
        assert [entry["status"] for entry in written["run"]] == ["succeeded"]
        assert [entry["status"] for entry in written["rollbacks"]] == ["succeeded"]


def test_the_example(root):
    with Lab() as lab:
        done = lab.run("run", root / "examples" / "chaostoolkit.json", TMPDIR=lab.folder)
        assert done.returncode == 0, done.stderr
        assert not (lab.folder / "chaoseater-example-delay").exists()
