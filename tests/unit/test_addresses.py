"""A webhook goes to public addresses only, however another one is written."""

from ipaddress import ip_address, ip_network

import pytest

from velox.core.addresses import MAX_URL_LENGTH, REFUSED, Allowed, Target, check_url, is_refused, target
from velox.errors import ForbiddenAddressError

HOSTILE = {
    "loopback": "http://127.0.0.1/",
    "the end of loopback": "http://127.255.255.254/",
    "loopback by name": "http://localhost:8080/",
    "loopback below a name": "http://x.localhost/",
    "loopback with a dot at its end": "http://localhost./",
    "loopback in short": "http://127.1/",
    "loopback as a number": "http://2130706433/",
    "loopback in hexadecimal digits": "http://0x7f000001/",
    "loopback in octal digits": "http://0177.0.0.1/",
    "loopback in parts of each kind": "http://0x7f.0.0.01/",
    "loopback with a dot": "http://127.0.0.1./",
    "this network": "http://0.0.0.0/",
    "nothing but zero": "http://0/",
    "private 10": "http://10.0.0.1/",
    "private 172.16": "http://172.31.255.255/",
    "private 192.168": "http://192.168.1.1/",
    "carrier's NAT": "http://100.64.0.1/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata of another cloud": "http://100.100.100.200/",
    "metadata of a third": "http://192.0.0.192/",
    "a cloud's platform": "http://168.63.129.16/",
    "broadcast": "http://255.255.255.255/",
    "multicast": "http://224.0.0.1/",
    "benchmarks": "http://198.18.0.1/",
    "IPv6 loopback": "http://[::1]/",
    "IPv6 unspecified": "http://[::]/",
    "IPv4 mapped": "http://[::ffff:127.0.0.1]/",
    "IPv4 mapped, in hexadecimal digits": "http://[::ffff:a00:1]/",
    "IPv4 compatible": "http://[::127.0.0.1]/",
    "NAT64": "http://[64:ff9b::10.0.0.1]/",
    "local NAT64": "http://[64:ff9b:1::a00:1]/",
    "6to4": "http://[2002:7f00:1::]/",
    "Teredo": "http://[2001:0:7f00:1::]/",
    "unique local": "http://[fd00:ec2::254]/",
    "link-local": "http://[fe80::1]/",
    "site-local": "http://[fec0::1]/",
    "segment routing": "http://[5f00::1]/",
    "IPv6 documentation": "http://[3fff::1]/",
    "IPv6 multicast": "http://[ff02::1]/",
    "a zone": "http://[fe80::1%25eth0]/",
    "a user": "http://hooks.example.com@127.0.0.1/",
    "a user and a password": "https://a:b@hooks.example.com/",
    "an empty user": "http://@hooks.example.com/",
    "a backslash": "http://hooks.example.com\\@127.0.0.1/",
    "a percent sign in the host": "http://127.0.0.%31/",
    "digits of another script": "http://①②⑦.0.0.1/",
    "a dot of another script": "http://127。0。0。1/",
    "a line end": "http://hooks.example.com/\r\nX: y",
    "a space before": " http://hooks.example.com/",
    "a tab in the scheme": "ht\ttp://hooks.example.com/",
    "files": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_",
    "no scheme": "//hooks.example.com/",
    "no host": "http:///path",
    "no slashes": "http:hooks.example.com",
    "port 0": "http://hooks.example.com:0/",
    "a port that is none": "http://hooks.example.com:65536/",
    "an empty port": "http://hooks.example.com:/",
    "two ports": "http://hooks.example.com:80:80/",
    "an empty label": "http://hooks..example.com/",
    "brackets around a name": "http://[localhost]/",
    "too long": "http://hooks.example.com/" + "a" * MAX_URL_LENGTH,
    "nothing": "",
}


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        check_url(url, Allowed())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://hooks.example.com/a?b=c#d", Target("https", "hooks.example.com", 443, "/a?b=c")),
        ("HTTP://Hooks.Example.COM", Target("http", "hooks.example.com", 80, "/")),
        ("http://hooks.example.com:8080?x=/@y", Target("http", "hooks.example.com", 8080, "/?x=/@y")),
        ("https://8.8.4.4:443/", Target("https", "8.8.4.4", 443, "/")),
        ("https://[2606:4700::1]:8443/x", Target("https", "2606:4700::1", 8443, "/x")),
        ("https://xn--bcher-kva.example/", Target("https", "xn--bcher-kva.example", 443, "/")),
        ("https://a_b.example./", Target("https", "a_b.example.", 443, "/")),
    ],
)
def test_an_ordinary_url_is_taken_apart(url: str, found: Target) -> None:
    check_url(url, Allowed())
    assert target(url) == found


def test_the_host_header_has_the_port_that_the_scheme_has_not() -> None:
    assert target("https://h.example/").netloc == "h.example"
    assert target("https://h.example:80/").netloc == "h.example:80"
    assert target("http://[2606::1]:8080/").netloc == "[2606::1]:8080"
    assert target("http://[2606::1]/").origin == "http://[2606::1]"


@pytest.mark.parametrize("network", REFUSED, ids=str)
def test_the_first_and_the_last_address_of_a_refused_network_are_refused(network: object) -> None:
    found = ip_network(str(network))
    assert is_refused(found[0])
    assert is_refused(found[-1])


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.32.0.0", "192.167.255.255", "223.255.255.255", "100.128.0.0"]
)
def test_the_addresses_around_them_are_public(text: str) -> None:
    assert not is_refused(ip_address(text))


@pytest.mark.parametrize("text", ["2001:200::1", "2003::1", "2606:4700::1111", "3ffe::1", "2a00::1"])
def test_public_ipv6_addresses_are_public(text: str) -> None:
    assert not is_refused(ip_address(text))


def test_an_address_with_a_zone_is_of_a_neighbour() -> None:
    assert is_refused(ip_address("2606:4700::1111%eth0"))


PUBLIC, PRIVATE = ip_address("1.1.1.1"), ip_address("10.1.2.3")


def test_a_named_network_may_be_private_and_no_other_address_is_allowed_then() -> None:
    allowed = Allowed.of(["10.1.0.0/16", "::1"])
    assert allowed.takes("any.example", PRIVATE)
    assert not allowed.takes("any.example", ip_address("10.2.0.1"))
    assert not allowed.takes("any.example", PUBLIC)
    check_url("http://any.example/", allowed)  # where it is will be seen at each attempt
    check_url("http://[::1]:8080/", allowed)
    check_url("http://localhost/", allowed)
    with pytest.raises(ForbiddenAddressError, match="WEBHOOK_ALLOW"):
        check_url("http://1.1.1.1/", allowed)


def test_a_named_host_is_allowed_at_public_addresses_only() -> None:
    allowed = Allowed.of(["hooks.example.com", "*.partner.example"])
    for host in ("hooks.example.com", "hooks.example.com.", "a.partner.example", "a.b.partner.example"):
        assert allowed.takes(host, PUBLIC)
        assert not allowed.takes(host, PRIVATE)
        check_url(f"https://{host}/", allowed)
    for host in ("example.com", "partner.example", "xpartner.example", "hooks.example.com.evil.example"):
        assert not allowed.takes(host, PUBLIC)
        with pytest.raises(ForbiddenAddressError, match=host):
            check_url(f"https://{host}/", allowed)


@pytest.mark.parametrize(
    "name", ["10.0.0.1/8", "https://hooks.example.com", "a b", "*", "*example.com", "h:80", "127.1"]
)
def test_what_is_neither_a_host_nor_a_network_is_not_allowed(name: str) -> None:
    with pytest.raises(ValueError, match="neither a host"):
        Allowed.of([name])
