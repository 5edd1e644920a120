"""Which addresses are the internet's, and which URLs an endpoint may have."""

from __future__ import annotations

import pytest

from paceline.domain.web_address import fault_of, is_of_own_network, is_public


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1"),
        *("127.255.255.254", "169.254.169.254", "172.16.0.1", "192.0.0.192", "192.0.2.1"),
        *("192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1"),
        *("64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::"),
        *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
        *("5f00::1", "", "localhost", "2130706433", "127.1", "0", "0x7f.0.0.1"),
    ],
)
def test_all_other_addresses_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/hooks?for=us",
        "https://user:password@example.com/",
        "https://8.8.8.8/",
    ],
)
def test_urls_of_public_servers_are_good(url: str) -> None:
    assert fault_of(url, allow_private=False) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com", "https://"),
        ("ftp://example.com", "https://"),
        ("file:///etc/passwd", "not the URL"),
        ("example.com", "not the URL"),
        ("https://", "not the URL"),
        ("https://:443/", "not the URL"),
        ("https://example.com:0/", "not the URL"),
        ("https://example.com:99999/", "not the URL"),
        ("https://[::1/", "not the URL"),
        ("https://example.com/#part", "not the URL"),
        ("https://exämple.com/", "character"),
        ("https://example.com/a b", "character"),
        ("https://example.com/\r\nHost: x", "character"),
        ("https://example.com/" + "a" * 2000, "longer"),
        ("https://127.0.0.1/", "private"),
        ("https://[::1]/", "private"),
        ("https://[::ffff:169.254.169.254]/", "private"),
        ("https://localhost/", "private"),
        ("https://LOCALHOST/", "private"),
        ("https://api.localhost:8443/", "private"),
    ],
)
def test_other_urls_are_refused_with_a_reason(url: str, why: str) -> None:
    fault = fault_of(url, allow_private=False)
    assert fault is not None
    assert why in fault


def test_the_development_switch_opens_private_networks_and_plain_http() -> None:
    assert fault_of("http://localhost:8000/hook", allow_private=True) is None
    assert fault_of("https://192.168.1.1/", allow_private=True) is None
    assert fault_of("ftp://192.168.1.1/", allow_private=True) is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8081",
        "http://10.1.2.3/",
        "http://192.168.1.1/",
        "http://[::1]:8081/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost:8081",
        "http://simulator:8081/",
        "http://simulator.internal/",
        "http://simulator./",
    ],
)
def test_private_addresses_and_names_that_nobody_else_knows_are_our_own(url: str) -> None:
    assert is_of_own_network(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/",
        "http://[2a00:1450::1]/",
        "http://[::ffff:8.8.8.8]/",  # mapped, 6to4, Teredo and NAT64 all lead outside
        "http://[2002:808:808::1]/",
        "http://[2001:0:808:808::1]/",
        "http://[64:ff9b::808:808]/",
        "http://134744072/",  # resolvers read these as 8.8.8.8
        "http://0x08080808/",
        "http://example.com/",
        "http:///",
        "http://[oops/",
    ],
)
def test_whatever_could_lead_elsewhere_is_not_our_own(url: str) -> None:
    assert not is_of_own_network(url)
