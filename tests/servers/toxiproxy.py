"""A link that is slow, as a local process: toxiproxy, which delays without using up the cores that are measured."""

from typing import Any, ClassVar

import httpx2

from tests.servers.go import go_program
from tests.servers.process import HOST, LocalServer, free_port
from tests.servers.web import is_ok

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"


class ToxiproxyServer(LocalServer):
    """Forwards ports, each with a delay of its own."""

    name: ClassVar[str] = "toxiproxy"

    def command(self) -> list[str]:
        """The server."""
        return [go_program(MODULE, "server"), "-host", HOST, "-port", str(self.port)]

    def is_ready(self) -> bool:
        """It answers."""
        return is_ok(self.port, "/version")

    def link(self, target_port: int, *, delay_ms: int) -> int:
        """Open a port that leads to another; what comes back from there comes so much later."""
        port = free_port()
        name = f"link-{port}"
        self._post("/proxies", name=name, listen=f"{HOST}:{port}", upstream=f"{HOST}:{target_port}", enabled=True)
        if delay_ms:
            toxic = {"type": "latency", "stream": "downstream", "attributes": {"latency": delay_ms}}
            self._post(f"/proxies/{name}/toxics", **toxic)
        return port

    def _post(self, path: str, **body: Any) -> None:  # noqa: ANN401 - JSON
        httpx2.post(f"http://{HOST}:{self.port}{path}", json=body, timeout=5).raise_for_status()
