"""What an engine changes in the machine's network, taken back afterwards."""

import shlex
import subprocess
from pathlib import Path

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
BRIDGE = "docker0"
OURS = ("DOCKER", BRIDGE)
"""What an engine's chains and rules have in their text; everything else belongs to somebody else."""


class Network:
    """The firewall and the bridge as they are now; `restore` takes back what an engine has added since."""

    def __init__(self) -> None:
        self._rules = {table: set(_rules(table)) for table in ("filter", "nat")}
        self._policy = "".join(rule for rule in _rules("filter") if rule.startswith("-P FORWARD"))
        self._had_bridge = Path("/sys/class/net", BRIDGE).exists()
        self._forwarding = FORWARDING.read_text()

    def restore(self) -> None:
        """Remove the engine's rules, then its chains, then its bridge; safe when there are none."""
        for table, before in self._rules.items():
            added = [rule for rule in _rules(table) if rule not in before and any(name in rule for name in OURS)]
            for rule in (rule for rule in added if rule.startswith("-A")):
                _iptables(table, "-D", *shlex.split(rule)[1:])
            for rule in (rule for rule in added if rule.startswith("-N")):
                _iptables(table, "-X", *shlex.split(rule)[1:])
        if self._policy:
            _iptables("filter", *shlex.split(self._policy))
        if not self._had_bridge:
            subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)
        FORWARDING.write_text(self._forwarding)


def _rules(table: str) -> list[str]:
    return _iptables(table, "-S").splitlines()


def _iptables(table: str, *arguments: str) -> str:
    done = subprocess.run(["iptables", "-w", "-t", table, *arguments], capture_output=True, text=True, check=False)
    return done.stdout
