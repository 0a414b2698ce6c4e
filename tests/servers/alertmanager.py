"""A real Alertmanager as a local process; it keeps alerts for whoever asks, and notifies nobody."""

from pathlib import Path
from typing import Any

from tests import tools
from tests.servers.jars import cache_root
from tests.servers.process import HOST, LocalServer
from tests.servers.web import get_json, is_ok

TEMPLATES = b"/usr/share/prometheus/alertmanager"
"""Where Debian's Alertmanager looks for the files that others have built in; there is no option for it."""
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class AlertmanagerServer(LocalServer):
    """One node without a cluster."""

    name = "alertmanager"

    def command(self) -> list[str]:
        config = self.folder / "alertmanager.yml"
        config.write_text(CONFIG)
        return [
            str(self._program()),
            f"--config.file={config}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
            "--cluster.listen-address=",
        ]

    def _program(self) -> Path:
        """The installed program; of the one in the cache, a copy that finds its templates where it is started.

        The path in it becomes a relative one of the same length.
        """
        program = Path(tools.alertmanager())
        if not program.is_relative_to(cache_root()):
            return program
        copy = self.folder / program.name
        copy.write_bytes(program.read_bytes().replace(TEMPLATES, TEMPLATES.removeprefix(b"/").replace(b"/a", b"//a")))
        copy.chmod(0o755)
        (self.folder / "usr").unlink(missing_ok=True)
        (self.folder / "usr").symlink_to(program.parents[1])
        return copy

    def is_ready(self) -> bool:
        return is_ok(self.port, "/-/ready")

    def alerts(self) -> dict[str, dict[str, Any]]:
        """The active alerts by name, each with its labels and annotations; the last of several with one name."""
        found = get_json(self.port, "/api/v2/alerts", active="true")
        return {alert["labels"]["alertname"]: alert for alert in found}
