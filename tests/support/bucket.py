"""A loopback that speaks as much of S3 as a reader needs: list, head and get of objects, for one key that is right."""

import email.utils
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MOMENT = 1_700_000_000


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        where = urlsplit(self.path)
        bucket, _, name = unquote(where.path).lstrip("/").partition("/")
        if "Credential=right/" not in self.headers.get("authorization", ""):
            return self._say(403, _error("InvalidAccessKeyId"))
        if bucket != "landing":
            return self._say(404, _error("NoSuchBucket"))
        if not name:
            return self._say(200, self._listed(parse_qs(where.query).get("prefix", [""])[0]))
        content = self.server.objects.get(name)
        if content is None:
            return self._say(404, _error("NoSuchKey"))
        first, last = 0, len(content) - 1
        if wanted := self.headers.get("range"):
            first, last = (int(n) for n in wanted.removeprefix("bytes=").split("-"))
        span = {"content-range": f"bytes {first}-{last}/{len(content)}"} if wanted else {}
        self._say(206 if wanted else 200, content[first : last + 1], span)

    do_HEAD = do_GET

    def _listed(self, prefix):
        about = (
            "<LastModified>2023-11-14T22:13:20.000Z</LastModified><ETag>x</ETag><StorageClass>STANDARD</StorageClass>"
        )
        found = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(content)}</Size>{about}</Contents>"
            for name, content in sorted(self.server.objects.items())
            if name.startswith(prefix)
        )
        head = "<Name>landing</Name><IsTruncated>false</IsTruncated>"
        return f'<ListBucketResult xmlns="{SPACE}">{head}{found}</ListBucketResult>'.encode()

    def _say(self, status, body, more=None):
        self.send_response(status)
        dated = {"last-modified": email.utils.formatdate(MOMENT, usegmt=True), "etag": '"x"'}
        for name, value in ({"content-length": str(len(body))} | dated | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def _error(code):
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


@contextmanager
def bucket():
    """Its objects by name, and the address of the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.objects = {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.objects, f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
