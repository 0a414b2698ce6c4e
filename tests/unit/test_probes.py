"""The consumer's own web server: what it answers, on which addresses, and to whom all the same."""

import errno
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client import CollectorRegistry, Counter

from velox.errors import SettingsError
from velox.probes import ProbeServer, listen
from velox.probing import ask, unready_because
from velox.tools.doctor import machine
from velox.tools.doctor.findings import Level

HOSTS = ("127.0.0.1", "::1")
PATHS = ("/livez", "/readyz", "/metrics", "/")
WAIT_S = 30


def has_ipv6() -> bool:
    """Whether this machine has an address to ask on; some containers have none."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    if request.param == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    return str(request.param)


class Served:
    """A server whose probes answer what they are told to."""

    def __init__(self) -> None:
        self.causes: dict[str, str | None] = {"live": None, "ready": None}
        registry = CollectorRegistry()
        Counter("velox_things", "Things.", registry=registry).inc(3)
        self.server = ProbeServer(0, registry)

    def serve(self) -> None:
        self.server.serve(live=lambda: self.causes["live"], ready=lambda: self.causes["ready"])

    def ask(self, path: str, method: str = "GET", host: str = HOSTS[0], **headers: str) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(host, self.server.port, timeout=WAIT_S)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    made = Served()
    made.serve()
    yield made
    made.server.close()


@pytest.fixture
def served(running: Served) -> Served:
    """One server for all tests, since closing one takes half a second; all is well with it at first."""
    running.causes = {"live": None, "ready": None}
    return running


@pytest.mark.parametrize(("path", "claim"), [("/livez", "live"), ("/readyz", "ready")])
def test_a_probe_says_whether_all_is_well_and_else_why_not(served: Served, host: str, path: str, claim: str) -> None:
    response, body = served.ask(path, host=host)
    assert (response.status, json.loads(body)) == (200, {claim: True})
    served.causes[claim] = "loading the model"
    response, body = served.ask(f"{path}?verbose", host=host)
    assert (response.status, json.loads(body)) == (503, {claim: False, "cause": "loading the model"})
    assert response.headers["Content-Type"] == "application/json"
    other = {"/livez": "/readyz", "/readyz": "/livez"}[path]
    assert served.ask(other, host=host)[0].status == 200


def test_metrics_come_in_the_form_that_is_asked_for(served: Served) -> None:
    response, body = served.ask("/metrics")
    assert (response.status, b"velox_things_total 3.0\n" in body) == (200, True)
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    response, body = served.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_another_path_is_told_what_there_is(served: Served) -> None:
    response, body = served.ask("/")
    assert response.status == 404
    assert response.headers["Content-Type"] == "text/plain"
    assert all(path.encode() in body for path in PATHS[:3])


@pytest.mark.parametrize("path", PATHS)
def test_head_is_answered_as_get_without_the_body(served: Served, host: str, path: str) -> None:
    served.causes["ready"] = "draining"

    def told(response: HTTPResponse) -> tuple[int, dict[str, str]]:
        return response.status, {name: value for name, value in response.headers.items() if name != "Date"}

    with_body, body = served.ask(path, host=host)
    without_body, _ = served.ask(path, "HEAD", host=host)
    assert told(without_body) == told(with_body)
    assert int(without_body.headers["Content-Length"]) == len(body) > 0
    with socket.create_connection((host, served.server.port), timeout=WAIT_S) as plain:
        plain.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: plain.recv(4096), b""))
    assert answer.partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_another_method_is_told_which_there_are(served: Served, method: str) -> None:
    response, body = served.ask("/livez", method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert b"GET" in body


def test_a_client_that_asks_nothing_keeps_nobody_waiting(served: Served, host: str) -> None:
    with (
        socket.create_connection((host, served.server.port), timeout=WAIT_S),
        socket.create_connection((host, served.server.port), timeout=WAIT_S) as slow,
    ):
        slow.sendall(b"GET /livez HTTP/1.1\r\nHost: ")
        assert served.ask("/livez", host=host)[0].status == 200
        slow.sendall(b"here\r\n\r\n")
        assert slow.recv(12) == b"HTTP/1.0 200"


def test_who_asks_before_it_serves_waits_for_the_answer() -> None:
    made = Served()
    with socket.create_connection((HOSTS[0], made.server.port), timeout=WAIT_S) as early:
        early.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        made.serve()
        assert early.recv(12) == b"HTTP/1.0 200"
    made.server.close()


@pytest.mark.parametrize("serves", [True, False])
def test_closing_frees_the_port(serves: bool) -> None:
    made = Served()
    if serves:
        made.serve()
        made.ask("/livez")
    made.server.close()
    listen(made.server.port).close()


@pytest.mark.parametrize("everywhere", [True, False])
def test_a_port_that_is_taken_on_either_family_is_refused_and_the_doctor_agrees(host: str, everywhere: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server(("" if everywhere else host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        said = f"METRICS_PORT={port}: Address already in use"
        with pytest.raises(SettingsError) as caught:
            ProbeServer(port, CollectorRegistry())
        assert str(caught.value) == f"{said}; choose another, or 0 for any free one"
        found = machine.port(port)
        assert (found.level, found.value) == (Level.WARNING, said)
    assert machine.port(port).level is Level.OK


def test_a_consumer_that_runs_is_found_by_the_doctor(served: Served) -> None:
    assert machine.port(served.server.port).level is Level.WARNING


@pytest.mark.parametrize("off", ["no socket of it", errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_where_ipv6_is_off_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch, off: str | int) -> None:
    create = socket.create_server

    def without_ipv6(address: tuple[str, int], family: int = socket.AF_INET, **_: bool) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(off, "there is no IPv6")
        return create(address)

    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: not isinstance(off, str))
    monkeypatch.setattr(socket, "create_server", without_ipv6)
    with listen(0) as listening:
        assert listening.family == socket.AF_INET


def test_another_process_hears_why_it_is_not_ready_and_what_it_has_counted(running: Served) -> None:
    port = running.server.port
    running.causes["ready"] = "waiting for Kafka"
    assert unready_because(port) == "waiting for Kafka"
    running.causes["ready"] = None
    assert unready_because(port) is None
    assert "velox_things_total 3.0" in ask(port, "/metrics").body


@pytest.mark.parametrize(
    ("answer", "cause"),
    [(b"", "starting"), (b"SSH-2.0-x\r\n", "starting"), (b"HTTP/1.0 503 No\r\n\r\nno JSON", "/readyz answers 503")],
)
def test_somebody_else_on_the_port_is_no_reason_to_fail(answer: bytes, cause: str) -> None:
    with socket.create_server((HOSTS[0], 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert unready_because(listening.getsockname()[1]) == cause
        thread.join(WAIT_S)
