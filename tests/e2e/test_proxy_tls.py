# SPDX-License-Identifier: MIT
"""TLS on both sides of `chaoseater proxy`: curl and OpenSSL's own client and server in front of it and behind it."""

import http.client
import json
import socket
import ssl
import subprocess
import threading

import pytest
from lab import Lab, Proxy, wait_for
from ports import free_port
from test_http_pipeline import run_one, server as model_server, write
from test_proxy import Model, Server

BODY = bytes(range(256)) * 40_000  # 10 MB


class Echo(Model):
    """Gives back what it gets."""

    def do_POST(self):
        self.server.seen.append(self.client_address)
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))


class Certificates:
    """An authority, and what it signed, as files."""

    def __init__(self, folder):
        self.folder = folder
        self.ca, self.key = self.authority("ca")
        self.other_ca, _ = self.authority("other")
        self.certificate = self.sign("server", "DNS:localhost,IP:127.0.0.1")
        self.other_name = self.sign("other_name", "DNS:model.example")
        self.expired = self.sign("expired", "IP:127.0.0.1", "-not_before", "20200101000000Z", "-not_after", "20200201000000Z")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, check=True, capture_output=True)

    def authority(self, name):
        key, certificate = self.folder / f"{name}-key.pem", self.folder / f"{name}.pem"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", key, "-out", certificate)
        return certificate, key

    def sign(self, name, names, *validity):
        """Of the authority's own key: one key is enough for all of this."""
        request, certificate = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        self.openssl("req", "-new", "-key", self.key, "-subj", "/CN=server", "-out", request)
        if validity:
            self.sign_between(request, certificate, extensions, *validity[1::2])
        else:
            self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                         "-days", "1", "-extfile", extensions, "-out", certificate)
        return certificate

    def sign_between(self, request, certificate, extensions, begin, end):
        for name, text in (("index.txt", ""), ("serial.txt", "77\n")):
            (self.folder / name).write_text(text)
        config = self.folder / "ca.conf"
        config.write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={self.folder}/index.txt\nserial={self.folder}/serial.txt\n"
                          f"new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        self.openssl("ca", "-batch", "-config", config, "-cert", self.ca, "-keyfile", self.key, "-in", request, "-out",
                     certificate, "-extfile", extensions, "-startdate", begin, "-enddate", end, "-notext")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def serve(handler, certificates=None, certificate=None):
    server = Server(("127.0.0.1", 0), handler)
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate or certificates.certificate, certificates.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"{'https' if certificates else 'http'}://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def upstream(certificates):
    started = []

    def start(handler=Echo, certificate=None):
        started.append(serve(handler, certificates, certificate))
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def start(lab, certificates):
    """A proxy that speaks TLS on both sides."""
    return lambda upstream, *arguments: Proxy(
        lab, upstream, "--tls-cert", certificates.certificate, "--tls-key", certificates.key,
        *(["--upstream-ca", certificates.ca] if upstream.startswith("https") else []), *arguments)


def curl(certificates, *arguments, **kwargs):
    done = subprocess.run(["curl", "-sS", "--max-time", "60", "--cacert", certificates.ca, *map(str, arguments)],
                          capture_output=True, timeout=90, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- passing


def test_ten_megabytes_pass_both_ways_and_connections_are_kept(start, upstream, certificates, tmp_path):
    model = upstream()
    proxy = start(model.url)
    body, back = tmp_path / "body", tmp_path / "back"
    body.write_bytes(BODY)
    url = f"https://localhost:{proxy.port}/echo"
    one = ["--data-binary", f"@{body}", "-H", "Expect:", "-o", back, "-w", "%{num_connects} "]
    out = curl(certificates, *one, url, "--next", "--cacert", certificates.ca, "-sS", *one, url)
    assert out == b"1 0 "
    assert back.read_bytes() == BODY
    assert len(model.seen) == 2 and model.seen[0] == model.seen[1], "one connection to the upstream"
    assert proxy.stop()[0] == 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_comes_with_each_version_of_tls(start, upstream, certificates, version):
    proxy = start(upstream().url)
    out = curl(certificates, f"--tlsv{version}", "--tls-max", version, "-d", "hello", "-w", " %{http_version}",
               f"https://127.0.0.1:{proxy.port}/")
    assert out == b"hello 1.1"
    assert proxy.stop()[0] == 0


def test_openssl_s_client_gets_what_the_server_sent(start, lab, certificates):
    server = serve(Model)
    proxy = start(f"127.0.0.1:{server.server_address[1]}")
    done = subprocess.run(
        ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", certificates.ca, "-verify_hostname", "localhost",
         "-alpn", "h2,http/1.1", "-connect", f"127.0.0.1:{proxy.port}"],
        input=b"GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n") and b"x-LOWER-upper: kept as it is\r\n" in done.stdout
    assert done.stdout.endswith(b'\r\n\r\n{"ready": true}')
    assert proxy.stop()[0] == 0
    server.shutdown()
    server.server_close()


def test_a_file_of_openssl_s_server_arrives_whole(lab, start, certificates, tmp_path):
    """Its answers end with the connection, which it announces."""
    (tmp_path / "large").write_bytes(BODY)
    port = free_port()
    server = subprocess.Popen(
        ["openssl", "s_server", "-WWW", "-quiet", "-accept", f"127.0.0.1:{port}", "-cert", certificates.certificate,
         "-key", certificates.key], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "it listens")
        proxy = start(f"https://localhost:{port}")
        assert curl(certificates, f"https://localhost:{proxy.port}/large") == BODY
        assert proxy.stop()[0] == 0
    finally:
        server.kill()
        server.wait()


def test_http2_is_offered_where_the_upstream_may_speak_it(start, certificates):
    def agreed(proxy, offered):
        context = ssl.create_default_context(cafile=certificates.ca)
        context.set_alpn_protocols(offered)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as stream:
                return stream.selected_alpn_protocol()

    both = ["h2", "http/1.1"]
    for upstream, offered, spoken in (
        ("127.0.0.1:1", both, "http/1.1"),
        ("h2c://127.0.0.1:1", both, "h2"),
        ("https://127.0.0.1:1", both, "http/1.1"),
        ("https://127.0.0.1:1", ["h2"], "h2"),
    ):
        proxy = start(upstream)
        assert agreed(proxy, offered) == spoken
        assert proxy.stop()[0] == 0


# ---- faults


def test_faults_work_over_tls(start, upstream, certificates):
    model = upstream(Model)
    proxy = start(model.url, "--json", "--seed", "7", "--fault", "model_unavailable", "--param", "failure_rate=0.5")
    context = ssl.create_default_context(cafile=certificates.ca)
    connection = http.client.HTTPSConnection("localhost", proxy.port, timeout=60, context=context)
    statuses = [proxy.predict(connection, f"r-{n}")[0].status for n in range(100)]
    assert set(statuses) == {200, 503} and 30 < statuses.count(503) < 70
    assert len(model.seen) == statuses.count(200)
    result = json.loads(proxy.stop()[1])
    assert result["connections"] == 1 and result["requests"] == 100 and result["errors"] == 0
    assert result["rules"][0]["changed"] == statuses.count(503)


def test_another_server_is_asked_over_tls(start, upstream, certificates):
    model, other = upstream(Model), upstream(Model)
    proxy = start(model.url, "--fault", "wrong_version", "--param", f"fallback_model={other.url}", "--param", "share=0.5")
    context = ssl.create_default_context(cafile=certificates.ca)
    connection = http.client.HTTPSConnection("localhost", proxy.port, timeout=60, context=context)
    for n in range(40):
        assert proxy.predict(connection, f"r-{n}")[0].status == 200
    assert 8 < len(other.seen) < 32 and len(model.seen) == 40 - len(other.seen)
    assert proxy.stop()[0] == 0


def test_a_run_against_a_server_with_tls(lab, start, certificates, tmp_path):
    """Its TLS is that of a proxy before a server without."""
    with model_server("oip", "--answer", "class") as port:
        proxy = start(f"127.0.0.1:{port}")
        keys = {"url": f"https://localhost:{proxy.port}", "model": "iris"}
        path = write(tmp_path, keys)
        refused = lab.run("run", path, "--json")
        assert refused.returncode == 4
        assert "its certificate is refused for 'localhost': unable to get local issuer certificate" in refused.stdout
        run = run_one(lab.run, write(tmp_path, {**keys, "ca": str(certificates.ca)}))
        assert proxy.stop()[0] == 0
    assert (run["status"], run["verdict"], run["verified"]) == ("completed", "passed", True)
    assert run["fault"]["eligible"] == run["fault"]["changed"] > 0


# ---- what is refused


@pytest.mark.parametrize("certificate, ca, says", [
    ("certificate", "other_ca", "its certificate is refused for '127.0.0.1': unable to get local issuer certificate"),
    ("certificate", None, "its certificate is refused for '127.0.0.1': unable to get local issuer certificate"),
    ("other_name", "ca", "its certificate is refused for '127.0.0.1': IP address mismatch"),
    ("expired", "ca", "its certificate is refused for '127.0.0.1': certificate has expired"),
])
def test_an_upstream_that_cannot_be_trusted_is_a_502(lab, upstream, certificates, certificate, ca, says):
    model = upstream(Model, getattr(certificates, certificate))
    proxy = Proxy(lab, model.url, "--json", *(["--upstream-ca", getattr(certificates, ca)] if ca else []))
    response, body = proxy.predict(proxy.connect(), "r-0")
    assert response.status == 502
    assert body.decode() == f"Cannot connect to the upstream {model.url[8:]}: {says}.\n"
    assert not model.seen
    assert json.loads(proxy.stop()[1])["errors"] == 1


def test_http_without_tls_is_told_so(start, upstream):
    proxy = start(upstream().url, "--json")
    response, body = proxy.predict(proxy.connect(), "r-0")
    assert (response.status, body) == (400, b"This port speaks TLS: ask with https.\n")
    assert json.loads(proxy.stop()[1])["errors"] == 1


@pytest.mark.parametrize("arguments, says", [
    (["--tls-cert", "{certificate}"], "--tls-cert and --tls-key go together"),
    (["--tls-cert", "{certificate}", "--tls-key", "/nowhere.pem"], "cannot read the private key '/nowhere.pem'"),
    (["--tls-cert", "{other_ca}", "--tls-key", "{key}"], "does not belong to the certificate"),
    (["--upstream-ca", "{key}"], "holds no certificates in PEM form"),
    (["--upstream-ca", "/nowhere.pem"], "cannot read the file of certificates '/nowhere.pem'"),
])
def test_bad_files_are_one_sentence_and_exit_2(lab, certificates, arguments, says):
    names = {name: getattr(certificates, name) for name in ("certificate", "other_ca", "key")}
    done = lab.run("proxy", "--listen", "127.0.0.1:0", "--upstream", "https://localhost:1",
                   *[argument.format(**names) for argument in arguments])
    assert done.returncode == 2
    assert says in done.stderr and done.stderr.count("\n") == 1
