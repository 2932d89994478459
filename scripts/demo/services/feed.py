"""The demo's feed checker: says whether a posted RSS or Atom feed is well-formed and how many items it has.

Runs on Debian's python3-minimal, which has neither an HTTP server nor the json module, so the little that is needed of both
is here. Requests are answered one after the other.
"""

import os
import pyexpat
import signal
import socket

LARGEST_REQUEST = 16 * 1024 * 1024
ITEM_NAMES = {"item", "entry"}


def check(document):
    items = 0

    def count(name, _attributes):
        nonlocal items
        items += name in ITEM_NAMES

    parser = pyexpat.ParserCreate()
    parser.StartElementHandler = count
    try:
        parser.Parse(document, True)
    except pyexpat.ExpatError as error:
        return "400 Bad Request", '{"wellFormed": false, "error": "%s"}' % error
    return "200 OK", '{"wellFormed": true, "items": %d}' % items


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 65536:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_REQUEST:
        return None
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    chunks, missing = [body], int(length) - len(body)
    while missing > 0:
        chunk = connection.recv(min(missing, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        missing -= len(chunk)
    return lines[0], b"".join(chunks)


def serve(connection):
    connection.settimeout(30)
    request = read_request(connection)
    if request is None:
        return
    line, body = request
    if line.startswith("GET /health "):
        status, answer = "200 OK", '{"healthy": true}'
    elif line.startswith("POST "):
        status, answer = check(body)
    else:
        status, answer = "404 Not Found", '{"error": "GET /health or POST a feed"}'
    data = f"{answer}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    connection.sendall(head.encode() + data)


if __name__ == "__main__":
    # The kernel ignores a signal's default action for process 1, so it has to be said.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("feed: listening on port 8080", flush=True)
    with socket.create_server(("", 8080)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                try:
                    serve(connection)
                except OSError as error:
                    print(f"feed: {error}", flush=True)
