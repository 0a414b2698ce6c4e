"""Where a webhook may go: the shape of its URL, the addresses that are refused, and those that are allowed.

The networks are those of IANA's registries of special-purpose addresses (IPv4: RFC 6890 and its successors; IPv6: what
is outside 2000::/3, and the exceptions in it), and where clouds answer who asks from inside. The standard library's
``is_global`` is no help: it differs by version, and calls addresses global that embed private ones.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple, Self

from velox.errors import ForbiddenAddressError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH: Final = 2048
REFUSED: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT; a cloud's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's platform
        "169.254.0.0/16",  # link-local; clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols; a cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; broadcast
        # All of IPv6 that is no global unicast:
        "::/3",  # unspecified, loopback, ::/96 and v4-mapped (embed IPv4), NAT64, discard-only
        "4000::/2",  # reserved; 5f00::/16 is for segment routing
        "8000::/1",  # unique local, link-local, site-local, multicast
        # What is not, within it:
        "2001::/23",  # protocols: Teredo (embeds IPv4), ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: embeds IPv4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
"""No webhook goes there unless WEBHOOK_ALLOW names the network."""

_PORTS: Final = {"http": 80, "https": 443}
_MOST_PORT: Final = 65_535
_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?))(?::(?P<port>\d{1,5}))?"
)
_PRINTABLE: Final = re.compile(r"[!-~]+")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)
"""A last label like this makes a host an address by the rules of browsers, and of some resolvers: 127.1, 0x7f000001."""
_ALLOWED_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_LOOPBACK: Final = (ip_address("127.0.0.1"), ip_address("::1"))


class Target(NamedTuple):
    """A webhook's URL, taken apart."""

    scheme: str
    host: str
    """A name in small letters, or an address; IPv6 without brackets."""
    port: int
    path: str
    """With its query; ``/`` at least."""

    @property
    def netloc(self) -> str:
        """Write host and port for the header ``Host``: without the port that the scheme has anyhow."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Name the destination, for logs and for its circuit."""
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The hosts and networks that WEBHOOK_ALLOW names; none = any public address."""

    hosts: tuple[str, ...] = ()
    """In small letters; ``*.example.com`` stands for all below it, not for itself."""
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Tell hosts and networks apart.

        Raises:
            ValueError: a name is neither.
        """
        hosts, networks = [], []
        for name in names:
            try:
                networks.append(ip_network(name))
                continue
            except ValueError as error:
                host = name.lower()
                if "/" in name or ":" in name or not _ALLOWED_HOST.fullmatch(host) or _is_number(host):
                    msg = f"{name!r} is neither a host, such as hooks.example.com or *.example.com, nor a network, "
                    raise ValueError(f"{msg}such as 10.1.0.0/16: {error}") from error
                hosts.append(host)
        return cls(tuple(hosts), tuple(networks))

    def takes_host(self, host: str) -> bool:
        """Say whether a host is named, or none is."""
        if not self.hosts and not self.networks:
            return True
        plain = host.rstrip(".")
        return any(plain.endswith(name[1:]) if name.startswith("*.") else plain == name for name in self.hosts)

    def takes(self, host: str, address: Address) -> bool:
        """Say whether a webhook to this host may go to this address.

        It may if the address is in a network that is named; or if the address is public and the host is named, or
        nothing is. A host that is named does not make a private address allowed: who owns a name says what its address
        is.
        """
        if any(address in network for network in self.networks):
            return True
        return not is_refused(address) and self.takes_host(host)


def is_refused(address: Address) -> bool:
    """Say whether an address is not public."""
    scope = getattr(address, "scope_id", None)
    return scope is not None or any(address in network for network in REFUSED)


def target(url: str) -> Target:
    """Take a URL apart, strictly: what two programs might read differently is refused.

    Raises:
        ForbiddenAddressError: it is none that a webhook can have.
    """
    match = _URL.fullmatch(url)
    if len(url) > MAX_URL_LENGTH:
        raise ForbiddenAddressError(f"it has {len(url)} characters, and may have {MAX_URL_LENGTH}")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ForbiddenAddressError("it has characters that a URL has not: write them as %20, or a host as xn--…")
    if match is None:
        raise ForbiddenAddressError("it has to begin with https:// or http://")
    if "@" in match["authority"]:
        raise ForbiddenAddressError("it has a user or a password before its host; leave them out")
    authority = _AUTHORITY.fullmatch(match["authority"])
    if authority is None:
        raise ForbiddenAddressError(f"{match['authority']!r} is no host, or no host and port")
    scheme = match["scheme"].lower()
    port = int(authority["port"] or _PORTS[scheme])
    if not 1 <= port <= _MOST_PORT:
        raise ForbiddenAddressError(f"there is no port {port}")
    path = match["path"] if match["path"].startswith("/") else "/" + match["path"]
    return Target(scheme, _host(authority["v6"], authority["name"]), port, path)


def check_url(url: str, allowed: Allowed) -> None:
    """Check a URL as far as that goes without asking who its host is.

    Raises:
        ForbiddenAddressError: a webhook may not go there; says why.
    """
    host = target(url).host
    address = literal(host)
    if address is not None:
        is_fit = allowed.takes(host, address)
    elif host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        is_fit = any(allowed.takes(host, each) for each in _LOOPBACK)
    else:
        # A network that is named may be where any host is.
        is_fit = bool(allowed.networks) or allowed.takes_host(host)
    if not is_fit:
        raise ForbiddenAddressError(f"webhooks may not go to {host}; see WEBHOOK_ALLOW")


def literal(host: str) -> Address | None:
    """Answer the address that a host is written as; None when it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _host(v6: str | None, name: str | None) -> str:
    if v6 is not None:
        try:
            return str(IPv6Address(v6))
        except ValueError as error:
            raise ForbiddenAddressError(f"[{v6}] is no IPv6 address") from error
    host = (name or "").lower()
    if _is_number(host):
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise ForbiddenAddressError(f"{host} is no IPv4 address: write four decimal numbers") from error
    return host


def _is_number(host: str) -> bool:
    return _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None
