"""Drives a server with the package websockets: commands, a long value in both directions, a
pipeline, pings, the close.

websocket_client.py URL [CA TOKEN]: with the two, through TLS and as who has the token.
"""
import asyncio
import json
import ssl
import sys

import websockets

url = sys.argv[1]
options = {}
if len(sys.argv) > 2:
    options = {"ssl": ssl.create_default_context(cafile=sys.argv[2]), "extra_headers": {"Authorization": "Bearer " + sys.argv[3]}}


async def ask(ws, command):
    await ws.send(json.dumps(command))
    return json.loads(await ws.recv())


async def main():
    async with websockets.connect(url, max_size=None, **options) as ws:
        assert await ask(ws, {"SET": {"py:name": "é\n", "py:age": 31}}) == {"SET_RSP": {"st": 1, "k": "py:name"}}
        assert json.loads(await ws.recv()) == {"SET_RSP": {"st": 1, "k": "py:age"}}
        assert await ask(ws, {"GET": ["py:name"]}) == {"GET_RSP": {"st": 0, "py:name": "é\n"}}
        long = "x" * 3_000_000
        assert await ask(ws, {"SET": {"py:long": long}}) == {"SET_RSP": {"st": 1, "k": "py:long"}}
        assert await ask(ws, {"GET": ["py:long"]}) == {"GET_RSP": {"st": 0, "py:long": long}}

        async def pieces():
            yield '{"GET":'
            yield '["py:age"'
            yield "]}"

        await ws.send(pieces())
        assert json.loads(await ws.recv()) == {"GET_RSP": {"st": 0, "py:age": 31}}
        for i in range(2000):
            await ws.send('{"INCR":{"py:number":1}}')
        for i in range(2000):
            assert json.loads(await ws.recv()) == {"INCR_RSP": {"st": (1 if i == 0 else 2), "py:number": i + 1}}
        await asyncio.wait_for(await ws.ping(), 20)
        await ws.send(b'{"GET":["py:age"]}')
        assert json.loads(await ws.recv()) == {"GET_RSP": {"st": 0, "py:age": 31}}
    assert ws.close_code == 1000, ws.close_code
    if options:
        try:
            await websockets.connect(url, ssl=options["ssl"], extra_headers={"Authorization": "Bearer wrong"})
        except websockets.InvalidStatusCode as e:
            assert e.status_code == 401, e
        else:
            raise AssertionError("a wrong token is taken")
    print("ok")


asyncio.run(main())
