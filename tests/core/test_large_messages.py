import asyncio
import socket
from importlib.metadata import version
from threading import Thread

import pytest
import uvicorn
from uvicorn.protocols.http import h11_impl, httptools_impl

from core.large_messages import HIGH_WATER_BYTES, receive_large_bodies

BODY_BYTES = HIGH_WATER_BYTES - 2**16


@pytest.mark.parametrize("protocol", ["httptools", "h11"])
def test_a_large_body_is_read_before_the_app_takes_any_of_it(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    for module in (httptools_impl, h11_impl):
        assert module.HIGH_WATER_LIMIT < HIGH_WATER_BYTES, f"uvicorn {version('uvicorn')} reads on by itself"
        monkeypatch.setattr(module, "HIGH_WATER_LIMIT", module.HIGH_WATER_LIMIT)  # and back when the test is over
    receive_large_bodies()
    pieces = asyncio.run(pieces_of_a_body_that_was_sent_before_it_is_taken(protocol))
    assert sum(pieces) == BODY_BYTES
    assert pieces[0] > BODY_BYTES // 2  # what the kernel still held comes after it


async def pieces_of_a_body_that_was_sent_before_it_is_taken(protocol: str) -> list[int]:
    sent, pieces = asyncio.Event(), []

    async def app(_scope: object, receive, send) -> None:
        # With Uvicorn's own limit the sender would wait for the app, which waits for the sender.
        await asyncio.wait_for(sent.wait(), 60)
        more = True
        while more:
            message = await receive()
            pieces.append(len(message["body"]))
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body", "body": b""})

    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=protocol, lifespan="off", ws="none", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        address = listener.getsockname()

        def post() -> bytes:
            with socket.create_connection(address) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES)
                connection.sendall(bytes(BODY_BYTES))
                loop.call_soon_threadsafe(sent.set)
                return connection.recv(100)

        answers: list[bytes] = []
        sender = Thread(target=lambda: answers.append(post()), daemon=True)
        sender.start()
        await asyncio.to_thread(sender.join, 90)
        server.should_exit = True
        await serving
    assert answers
    assert answers[0].startswith(b"HTTP/1.1 204")
    return pieces
