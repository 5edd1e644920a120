"""Which web addresses we call because a tenant asks us to: none that lead into a network of ours.

A tenant chooses the address and sees what came of the call, so without this rule it could reach,
through us, whatever our machine can (server-side request forgery).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that the internet routes (RFC 4291); outside are loopback, link-local, unique local,
multicast, mapped and translated IPv4 addresses."""
_CARRY_IPV4 = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))
"""Teredo and 6to4: an IPv4 address that may be any is inside."""
_OF_A_CLOUD = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # Oracle's metadata server, among others
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's, the same in every virtual network
)
"""Public by their numbers, yet answered by the network that one is in."""
_NEVER_PUBLIC = (".localhost", ".local", ".internal", ".test", ".invalid", ".home.arpa")
"""Ends of names that are reserved for networks of one's own (RFC 6761, 6762, 8375, and ICANN's
``internal``)."""
_OWN = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("100.64.0.0/10", "169.254.0.0/16", "::1/128", "::/128", "fc00::/7", "fe80::/10"),
    )
)
"""Addresses that the internet routes nowhere (RFC 1918, 6598, 3927, 4193, 4291), our own machine's
among them."""
_LONGEST = 2_000


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's, for everybody the same."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _OF_A_CLOUD)
    return ip in _GLOBAL_UNICAST and not any(ip in network for network in _CARRY_IPV4)


def fault_of(url: str, *, allow_private: bool) -> str | None:
    """What is wrong with an endpoint's URL, as far as that shows in it; None: nothing.

    Where its name leads to is looked at before each connection.
    """
    if len(url) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if not (url.isascii() and url.isprintable()) or " " in url:
        return "contains a character that a URL cannot; encode it"
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0 and not parts.fragment
    except ValueError:  # an impossible port or IPv6 address
        usable = False
    if not usable:
        return "is not the URL of a server"
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        return "must begin with https://"
    if not allow_private and _is_private_literal(parts.hostname or ""):
        return "leads into a private network"
    return None


def is_of_own_network(url: str) -> bool:
    """Whether a URL can only lead into a network of ours: to a private IP address, or to a name
    that no public name server knows.
    """
    try:
        host = (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return False
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        # Resolvers read ``134744072`` and ``0x8080808`` as addresses; no name begins so.
        is_a_name = bool(host) and not host.rpartition(".")[2][:1].isdigit()
        return is_a_name and ("." not in host or host.endswith(_NEVER_PUBLIC))
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in _OWN if ip.version == network.version)


def _is_private_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return not is_public(host)
