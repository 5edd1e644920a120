"""Posting for tenants: no address of ours is reached, whatever names and servers answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from paceline.engine import posting
from paceline.engine.posting import NOT_PUBLIC, Answer, Poster
from tests.engine.receiver import Receiver, receiving

NAME = "hooks.example.com"


class Resolver(AbstractResolver):
    """Answers with one address after the other, and counts how often it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.asked = 0
        self._addresses: Iterator[str] = iter(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: int = socket.AF_INET
    ) -> list[ResolveResult]:
        assert (host, family) == (NAME, socket.AF_UNSPEC)
        self.asked += 1
        address = next(self._addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard of addresses alone: a test's server has no certificate that anybody trusts."""
    monkeypatch.setattr(posting, "fault_of", lambda *_, **__: None)


async def posted(poster: Poster, url: str) -> Answer:
    try:
        return await poster.post(url, {"webhook-id": "evt_1"}, b"{}")
    finally:
        await poster.aclose()


async def test_a_request_is_posted_with_its_headers_and_its_answer_read(receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "7"})]
    answer = await posted(Poster(allow_private=True), receiver.url)
    assert answer == Answer(503, "", 7_000)
    (request,) = receiver.requests
    assert request.body == b"{}"
    assert request.headers["webhook-id"] == "evt_1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("paceline/")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"]
)
async def test_a_name_that_leads_to_a_private_address_is_refused(
    receiver: Receiver, address: str
) -> None:
    resolver = Resolver(address)
    url = f"https://{NAME}:{receiver.port}/hook"
    assert await posted(Poster(resolver=resolver), url) == Answer(None, NOT_PUBLIC)
    assert resolver.asked == 1
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f000001"])
async def test_no_spelling_of_a_private_address_is_reached(
    receiver: Receiver, plain_http: None, host: str
) -> None:
    answer = await posted(Poster(), f"http://{host}:{receiver.port}/hook")
    assert answer.status is None
    assert receiver.connections == 0


async def test_a_name_that_changes_after_the_look_changes_nothing(
    receiver: Receiver, plain_http: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that was judged is the one that is connected to; the name is not asked again."""
    judged: list[str] = []

    def judge(address: str) -> bool:
        judged.append(address)
        return address == "127.0.0.1"  # stands for a public one

    monkeypatch.setattr(posting, "is_public", judge)
    resolver = Resolver("127.0.0.1", "127.0.0.2", "127.0.0.2")
    url = f"http://{NAME}:{receiver.port}/hook"
    assert (await posted(Poster(resolver=resolver), url)).status == 200
    assert (resolver.asked, judged) == (1, ["127.0.0.1"])
    assert receiver.reached == ["127.0.0.1"]
    assert (await posted(Poster(resolver=resolver), url)).error == NOT_PUBLIC
    assert (resolver.asked, judged) == (2, ["127.0.0.1", "127.0.0.2"])


async def test_plain_http_is_refused(receiver: Receiver) -> None:
    answer = await posted(Poster(), receiver.url)
    assert answer == Answer(None, "the URL must begin with https://")
    assert receiver.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {"Location": receiver.url + "/elsewhere"})]
    assert (await posted(Poster(allow_private=True), receiver.url)).status == status
    assert len(receiver.requests) == 1


async def test_no_proxy_of_the_environment_is_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await posted(Poster(allow_private=True), receiver.url)).status == 200


async def test_cookies_are_not_kept(receiver: Receiver) -> None:
    receiver.answers = [(200, {"Set-Cookie": "a=b"}), (200, {})]
    poster = Poster(allow_private=True)
    await poster.post(receiver.url, {}, b"{}")
    await posted(poster, receiver.url)
    assert "cookie" not in receiver.requests[1].headers


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
    except ConnectionError:
        return


async def _hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def _no_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com ESMTP\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (_silence, Answer(None, "no answer within 0.3 s")),
        (_endless_body, Answer(200)),
        (_hang_up, Answer(None, "no answer that is HTTP")),
        (_no_http, Answer(None, "no answer that is HTTP")),
    ],
)
async def test_servers_that_misbehave_cost_a_moment(script: Script, expected: Answer) -> None:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    poster = Poster(allow_private=True, timeout_s=0.3)
    assert await posted(poster, f"http://127.0.0.1:{port}/hook") == expected
    server.close()
    await server.wait_closed()


async def test_nobody_there_is_said_without_details() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = await posted(Poster(allow_private=True), f"http://127.0.0.1:{port}/hook")
    assert answer == Answer(None, "no connection")
