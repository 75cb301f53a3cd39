"""Names that would be formulas in a spreadsheet or lines of their own in a log, read back by programs
that are not ours: Python's csv module, and a look at every byte of the log.

    python hostile_text.py BINARY
"""

import csv
import http.cookiejar
import io
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

FORMULAS = ["=", "+", "-", "@", "\t", "\r", "\0"]
PIECES = [
    *FORMULAS, "=cmd|' /C calc'!A0", "=HYPERLINK(\"http://evil.example\")", "@SUM(1+1)*cmd|' /C calc'!A0", "+1", "-1+1",
    ",", ";", '"', '""', "'", "\n", "\r\n", "\u2028", "\u202e", "\x1b[31m", "\x07", "\x85", "ü", "表", "🙂", " ", "a", "%0d%0a", "\\n",
]


def names(count: int) -> list[str]:
    chance = random.Random(24)
    made = [piece + " Ltd" for piece in PIECES]
    while len(made) < count:
        made.append("".join(chance.choices(PIECES, k=chance.randint(1, 8))) + f" {len(made)}")
    return made


def main(binary: str) -> None:
    with tempfile.TemporaryDirectory() as folder, open(pathlib.Path(folder) / "log", "wb") as log:
        data = str(pathlib.Path(folder) / "data")
        added = subprocess.run(
            [binary, "partner", "add", "Halden", "--owner", "o@halden.example", "--token", "--data-dir", data],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ).stdout
        token = re.search(r"API token: (\S+)", added)[1]
        invitation = re.search(r"/invitations/\S+", added)[0]
        server = subprocess.Popen(
            [binary, "serve", "--data-dir", data, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "TENANTRY_LOG": "debug"},
        )
        try:
            root = ""
            while not root:
                found = re.search(r"listens on (\S+)/", server.stdout.readline())
                root = found[1] if found else ""
            check(root, token, invitation)
        finally:
            server.terminate()
            server.wait()
        log.flush()
        written = (pathlib.Path(folder) / "log").read_bytes()
    lines = written.decode().split("\n")
    strange = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
    bad = [line for line in lines if strange.search(line)]
    assert not bad, bad[:3]
    forged = [line for line in lines if line and not re.match(r"\d{4}-\d\d-\d\dT", line)]
    assert not forged, forged[:3]
    assert "forged-by-a-stranger" in written.decode(), "what strangers sent is not in the log at all"
    print(f"B24: {len(lines)} log lines at debug: no control character, and none that a stranger began")


def check(root: str, token: str, invitation: str) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def send(path: str, body: bytes | None = None, **headers: str) -> bytes:
        request = urllib.request.Request(root + path, body, headers)
        try:
            with opener.open(request) as answer:
                return answer.read()
        except urllib.error.HTTPError as refused:
            return refused.read()

    kept = []
    for name in names(500):
        body = json.dumps({"name": name, "external_id": name[:60]}).encode()
        answer = json.loads(send("/api/v1/companies", body, authorization=f"Bearer {token}", **{"content-type": "application/json"}))
        if "id" in answer:
            kept.append(answer["name"])
    assert len(kept) > 300, f"only {len(kept)} names were taken"
    # What strangers send, which the log may repeat.
    for piece in PIECES:
        text = f"forged-by-a-stranger{piece}2026-01-01T00:00:00Z  INFO all is well"
        form = urllib.parse.urlencode({"email": text + "@x.example", "password": text}).encode()
        send("/sign-in", form, origin=root)
        send("/" + urllib.parse.quote(text))
        send("/sign-in/callback/" + urllib.parse.quote(text) + "?" + urllib.parse.urlencode({"error": text, "state": text}))
        send("/consent/callback?" + urllib.parse.urlencode({"error": text, "error_description": text, "state": text, "tenant": text}))
    form = urllib.parse.urlencode({"password": "a long enough sentence"}).encode()
    send(invitation, form, origin=root)
    text = send("/settings/audit.csv").decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    header, rows = rows[0], rows[1:]
    assert "target" in header, text[:300]
    assert all(len(row) == len(header) for row in rows)
    cells = [cell for row in rows for cell in row]
    formulas = [cell for cell in cells if cell.startswith(tuple(FORMULAS))]
    assert not formulas, formulas[:3]
    created = [row[header.index("target")] for row in rows if row[header.index("action")] == "company.create"]
    plain = [cell[1:] if cell.lstrip("'").startswith(tuple(FORMULAS)) else cell for cell in created]
    assert sorted(plain) == sorted(kept), set(plain) ^ set(kept)
    print(f"B24: {len(cells)} cells of a CSV, {len(kept)} of them hostile names: none is a formula, and Python reads each as it was")


if __name__ == "__main__":
    main(sys.argv[1])
