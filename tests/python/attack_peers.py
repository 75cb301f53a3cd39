"""What stands around the product while tools attack it; scripts/attack starts and ends it.

    attack_peers.py proxy PORT UPSTREAM LOG   writes down each request and the status of its answer
    attack_peers.py tls PORT UPSTREAM CERT KEY   a proxy of a scanner that asks for pages alone
    attack_peers.py bait PORT   the holes that the tools look for, and where they wait for a call
"""

import contextlib
import html
import http.client
import http.server
import json
import os
import sqlite3
import ssl
import string
import sys
import threading
import time
import urllib.parse
import urllib.request

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.answer()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Proxy(Handler):
    """Hands on as an operator's proxy would: the host stays, and the visitor's address is added."""

    upstream = 0
    scheme = "http"
    log = None
    lock = threading.Lock()
    added: dict[str, str] = {}

    def pass_on(self, method: str, path: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        sent = {"x-forwarded-for", "x-forwarded-proto", *self.added}
        headers = [(n, v) for n, v in self.headers.items() if n.lower() not in HOP | sent]
        headers += [("x-forwarded-for", self.client_address[0]), ("x-forwarded-proto", self.scheme)]
        headers += [*self.added.items(), ("content-length", str(len(body)))]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=20)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in HOP]
            return answer.status, kept, answer.read()

    def answer(self) -> None:
        # Bytes that a request line may not hold, as a browser would write them.
        path = urllib.parse.quote(self.path.encode("latin-1"), safe=string.punctuation)
        try:
            status, headers, body = self.pass_on(self.command, path, self.body)
        except (OSError, http.client.HTTPException) as error:
            status, headers, body = 504, [], str(error).encode()
        with self.lock:
            print(self.command, path, status, file=self.log, flush=True)
        self.send(status, headers, body)


class Scanned(Proxy):
    """For a scanner that sends GET alone and gives up at an error: somebody who is signed in asks,
    an error page comes under 200, and `/answer-to-a-sign-in` is one. Headers and body stay."""

    scheme = "https"
    log = sys.stderr
    added = json.loads(os.environ.get("ATTACK_ADD", "{}"))

    def pass_on(self, method: str, path: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if path == "/answer-to-a-sign-in" and method == "GET":
            self.headers["content-type"] = "application/x-www-form-urlencoded"
            self.headers["sec-fetch-site"] = "same-origin"
            status, headers, body = super().pass_on("POST", "/sign-in", os.environ["ATTACK_FORM"].encode())
            is_signed_in = any(n.lower() == "set-cookie" and "session=" in v for n, v in headers)
            print("GET", path, status, "signed in" if is_signed_in else "refused", file=self.log)
            return status, headers, body
        status, headers, body = super().pass_on(method, path, body)
        return (200 if status in (404, 422) and method == "GET" else status), headers, body


class Bait(Handler):
    """What the tools must find, or their silence about the product says nothing."""

    calls: dict[str, dict] = {}
    holes = ["/echo?q=hello", "/row?id=1", "/go?to=/echo", "/file?name=motd", "/fetch?url=none"]

    def page(self, text: str) -> None:
        self.send(200, [("content-type", "text/html; charset=utf-8")], f"<html><body>{text}</body></html>".encode())

    def answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        if url.path.startswith("/ssrf/"):
            # Somebody was talked into a call: whom, the address says.
            _, _, session, request, parameter = url.path.rstrip("/").split("/")[:5]
            call = {"url": self.path, "date": time.strftime("%FT%T"), "ip": self.client_address[0], "method": self.command}
            self.calls.setdefault(session, {}).setdefault(request, {}).setdefault(parameter, []).append(call)
            self.page("called")
        elif url.path == "/get_ssrf.php":
            found = json.dumps(self.calls.get(query.get("session_id", ""), {})).encode()
            self.send(200, [("content-type", "application/json")], found)
        elif url.path == "/calls":
            self.send(200, [], str(sum(len(r) for r in self.calls.values())).encode())
        elif url.path == "/echo":
            self.page(query.get("q", ""))
        elif url.path == "/row":
            with contextlib.closing(sqlite3.connect(":memory:")) as db:
                db.executescript("CREATE TABLE t (id INTEGER, name TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two')")
                try:
                    self.page(str(db.execute(f"SELECT name FROM t WHERE id = {query.get('id', '')}").fetchall()))
                except (sqlite3.Error, sqlite3.Warning) as error:
                    self.page(f"sqlite3.OperationalError: {html.escape(str(error))}")
        elif url.path == "/go":
            # Only for the module that looks for it: the others would follow.
            to = query.get("to", "")
            self.send(302, [("location", to)], b"") if to.endswith("//openbugbounty.org/") else self.page("gone")
        elif url.path == "/file":
            name = os.path.realpath(query.get("name", "").replace("\0", ""))
            # As open as the tools need it, and no further.
            found = name in ("/etc/passwd", "/etc/services") and os.path.exists(name)
            self.page(open(name, encoding="latin-1").read(4096) if found else "no such file")
        elif url.path == "/fetch":
            wanted = query.get("url", "")
            if wanted.startswith(f"http://127.0.0.1:{self.server.server_address[1]}/"):
                with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                    urllib.request.urlopen(wanted, timeout=5).read()
            self.page("fetched")
        else:
            self.page("".join(f'<a href="{html.escape(hole)}">{hole}</a> ' for hole in self.holes))


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    handler = {"proxy": Proxy, "tls": Scanned, "bait": Bait}[kind]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    if kind != "bait":
        handler.upstream = int(sys.argv[3])
    if kind == "proxy":
        handler.log = open(sys.argv[4], "w")
    if kind == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
