"""Answers what it was asked, through the bindings of `wasi:http`: nothing here is Ripost's."""

import json

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    Method_Other,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

# What one write of a stream takes.
WRITE_BYTES = 4096


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        method = request.method()
        path, _, query = (request.path_with_query() or "/").partition("?")
        ids = request.headers().get("ripost-request-id")
        answer = {
            "method": method.value if isinstance(method, Method_Other) else type(method).__name__[7:].upper(),
            "path": path,
            "query": query,
            "body": read(request).decode(),
            "request": ids[0].decode() if ids else None,
        }
        write(response_out, json.dumps(answer).encode())


def read(request: IncomingRequest) -> bytes:
    parts = []
    with request.consume() as body, body.stream() as stream:
        while True:
            try:
                parts.append(stream.blocking_read(65536))
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    return b"".join(parts)
                raise


def write(response_out: ResponseOutparam, answer: bytes) -> None:
    response = OutgoingResponse(Fields.from_list([("content-type", b"application/json")]))
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    with body.write() as stream:
        for at in range(0, len(answer), WRITE_BYTES):
            stream.blocking_write_and_flush(answer[at : at + WRITE_BYTES])
    OutgoingBody.finish(body, None)
