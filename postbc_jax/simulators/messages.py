"""Messages between a process and its simulator workers: a JSON header and one array of float64, through a socket."""

import json
import socket
import struct
from typing import Any

import numpy as np

_LENGTHS = struct.Struct('<II')


def send(to: socket.socket, header: Any, *arrays: np.ndarray) -> None:
    """Sends a header of JSON types and arrays; the receiver gets them as float64 of the same shapes."""
    arrays = [np.ascontiguousarray(array, np.float64) for array in arrays]
    text = json.dumps([header, [array.shape for array in arrays]]).encode()
    body = b''.join(array.tobytes() for array in arrays)
    to.sendall(_LENGTHS.pack(len(text), len(body)) + text + body)


def receive(of: socket.socket) -> tuple[Any, list[np.ndarray]]:
    """Waits for a message.

    Raises:
      EOFError: the other side is gone.
      TimeoutError: the socket's time-out passed.
    """
    text, body = _LENGTHS.unpack(_exactly(of, _LENGTHS.size))
    header, shapes = json.loads(_exactly(of, text))
    data, arrays, at = np.frombuffer(_exactly(of, body)), [], 0
    for shape in shapes:
        size = int(np.prod(shape, dtype=np.int64))
        arrays.append(data[at : at + size].reshape(shape))
        at += size
    return header, arrays


def _exactly(of: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        try:
            count = of.recv_into(view[got:])
        except ConnectionError:
            count = 0
        if not count:
            raise EOFError('the other side closed the connection')
        got += count
    return bytes(buffer)
