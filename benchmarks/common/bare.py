"""The simplest server of one answer, a single aiohttp handler: `python -m benchmarks.common.bare ETAG < BODY`.

It prints its URL and runs until it is stopped.
"""

import asyncio
import sys

from aiohttp import web

from benchmarks.common import report


async def serve(body: bytes, etag: str) -> None:
    headers = {"ETag": etag, "Content-Type": "application/json"}

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_get("/claims/{domain}/{label}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    report.run(serve(sys.stdin.buffer.read(), sys.argv[1]))
