"""The WebSocket conformance cases of the Autobahn test suite, against both kinds of transport.

The suite expects an echo, so the transports echo here. The cases of what links refuse by design are left out: binary
frames (1.2.*) and messages over 1 MiB (9.*). The cases of compression (12.*, 13.*) send a thousand messages each, so
only two of them run.
"""

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from websockets.asyncio.client import connect

from node.links.opening import make_socket
from node.links.transport import AcceptedTransport, DialledTransport, Transport, TransportEndedError
from protocol.errors import Code
from protocol.link.messages import FRAME_BYTES_MAX

kosoku = pytest.importorskip("kosoku", reason="kosoku, which runs the Autobahn cases, has no wheel for this platform")

PLAIN = ["1.1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
COMPRESSED = ["12.1.1", "13.1.1"]
SLOW = ["6.4.*"]
"""Bad UTF-8 that an endpoint should notice early. These cases wait for seconds between two bytes."""

AMBIGUOUS = ["7.1.5"]
"""A close in the middle of a message: `websockets` treats it as an error, and RFC 6455 allows that."""

GOOD = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}


async def echo(transport: Transport) -> None:
    try:
        while True:
            await transport.send(await transport.receive())
    except TransportEndedError as ended:
        await transport.close(ended.code or Code.MALFORMED, ended.detail)


def broken(results: list) -> list[str]:  # type: ignore[type-arg]
    return [
        f"{it.case_id}: {it.behavior.value}, closing {it.behavior_close.value}: {it.expectation}"
        for it in results
        if it.behavior.value not in GOOD or it.behavior_close.value not in GOOD | {"UNCLEAN"}
    ]


# The suite does not close its own test data.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("cases", "is_compressed"), [(PLAIN, False), (COMPRESSED, True)], ids=["plain", "compressed"])
async def test_an_accepted_transport_keeps_the_rules_of_websocket(cases: list[str], is_compressed: bool) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = make_socket(is_compressed=is_compressed)
        await socket.prepare(request)
        await echo(AcceptedTransport(request, socket))
        return socket

    app = web.Application()
    app.router.add_get("/", handle)

    async with TestServer(app) as server:
        results = await played(server, cases, SLOW)
        if broken(results):  # on a busy machine a case may run out of its time, so these are played once more, alone
            results = await played(server, [it.case_id for it in results if broken([it])], [])

    assert results
    assert broken(results) == []


async def played(server: BaseTestServer, cases: list[str], without: list[str]) -> list:  # type: ignore[type-arg]
    try:
        return await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{server.port}/", cases, without, concurrency=4)  # type: ignore[no-any-return]
    except kosoku.FailureError as error:
        return error.results  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_dialled_transport_keeps_the_rules_of_websocket() -> None:
    async with kosoku.run_fuzzingserver(PLAIN, [*SLOW, *AMBIGUOUS], port=0) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(f"{url}/getCaseCount", max_size=FRAME_BYTES_MAX) as counting:
            count = int(await counting.recv())
        for number in range(1, count + 1):
            async with connect(f"{url}/runCase?case={number}&agent=dnarc", max_size=FRAME_BYTES_MAX) as connection:
                await echo(DialledTransport(connection))
        async with connect(f"{url}/updateReports?agent=dnarc"):
            pass
        try:
            results = await server.get_result()
        except kosoku.FailureError as error:
            results = error.results

    assert len(results) == count
    assert broken(results) == []
