"""The demo's web shop: answers GET /health at once and counts the elements of XML documents that are posted.

A document is parsed in one call of libexpat, which keeps Python's interpreter lock until it returns. So a document
that makes libexpat slow makes every other request wait: that is what the demo shows.
"""

import json
import os
import signal
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.parsers import expat

LARGEST_DOCUMENT = 16 * 1024 * 1024


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {"healthy": True})
        else:
            self.answer(404, {"error": "GET /health or POST an XML document"})

    def do_POST(self):
        try:
            size = int(self.headers.get("Content-Length", ""))
        except ValueError:
            size = -1
        if not 0 <= size <= LARGEST_DOCUMENT:
            self.close_connection = True
            self.answer(413, {"error": f"Content-Length must be 0 to {LARGEST_DOCUMENT}"})
            return
        document = self.rfile.read(size)
        elements = 0

        def count(_name, _attributes):
            nonlocal elements
            elements += 1

        parser = expat.ParserCreate()
        parser.StartElementHandler = count
        start = time.monotonic()
        try:
            parser.Parse(document, True)
        except expat.ExpatError as error:
            self.answer(400, {"error": str(error)})
            return
        self.answer(200, {"elements": elements, "seconds": round(time.monotonic() - start, 3)})

    def answer(self, status, body):
        data = (json.dumps(body) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    # The kernel ignores a signal's default action for process 1, so it has to be said.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("web: listening on port 8080", flush=True)
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
