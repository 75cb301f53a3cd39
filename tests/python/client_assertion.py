"""Our client assertion, verified by a library that is not ours (PyJWT over OpenSSL): a small token
endpoint takes the place of Microsoft's, and the product tests a connection with a certificate.

    python client_assertion.py BINARY
"""

import base64
import hashlib
import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization

TENANT, CLIENT = str(uuid.uuid4()), str(uuid.uuid4())
received: list[dict] = []


class Login(http.server.BaseHTTPRequestHandler):
    """Metadata, and a token endpoint that keeps what it was sent."""

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        root = f"http://{self.headers['Host']}"
        self.answer(200, {"issuer": f"{root}/{TENANT}/v2.0"})

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        received.append({"path": self.path, **{k: v[0] for k, v in form.items()}})
        self.answer(401, {"error": "invalid_client", "error_description": "AADSTS700027: kept"})

    def log_message(self, *_: object) -> None:
        pass


def call(port: int, token: str, method: str, path: str, body: dict | None = None) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
    return json.loads(connection.getresponse().read())


def main() -> None:
    login = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=login.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{login.server_address[1]}/"
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "tenantry.toml"), "w") as config:
            config.write(f'[clouds.custom]\nlogin = "{root}"\ngraph = "{root}"\n')
        options = ["--data-dir", os.path.join(folder, "data"), "--config", os.path.join(folder, "tenantry.toml")]
        made = subprocess.run(
            [sys.argv[1], "partner", "add", "Halden", "--owner", "o@halden.example", "--token", *options],
            capture_output=True, text=True, check=True,
        )
        token = re.search(r"API token: (\S+)", made.stdout)[1]
        process = subprocess.Popen(
            [sys.argv[1], "serve", "--listen", "127.0.0.1:0", *options], stdout=subprocess.PIPE, text=True
        )
        try:
            line = next(l for l in process.stdout if "listens on" in l)
            port = int(re.search(r":(\d+)/", line)[1])
            credential = call(port, token, "POST", "/credentials", {
                "kind": "single_tenant", "name": "PyJWT", "cloud": "custom", "directory_id": TENANT,
                "client_id": CLIENT, "make_certificate": True,
            })
            secrets = call(port, token, "GET", f"/credentials/{credential['id']}/secrets")
            certificate = x509.load_pem_x509_certificate(secrets[0]["certificate"].encode())
            for _ in range(2):
                test = call(port, token, "POST", f"/credentials/{credential['id']}/tests", {})
                assert test["state"] == "failed", test
        finally:
            process.kill()
    assert len(received) == 2, received
    seen = set()
    for form in received:
        assert form["path"] == f"/{TENANT}/oauth2/v2.0/token"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["client_id"] == CLIENT and "client_secret" not in form
        assert form["grant_type"] == "client_credentials" and form["scope"] == f"{root}.default"
        assertion = form["client_assertion"]
        header = jwt.get_unverified_header(assertion)
        fingerprint = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
        assert header["alg"] == "PS256" and header["typ"] == "JWT", header
        assert header["x5t#S256"] == base64.urlsafe_b64encode(fingerprint).rstrip(b"=").decode(), header
        claims = jwt.decode(
            assertion, certificate.public_key(), algorithms=["PS256"],
            audience=f"{root}{TENANT}/oauth2/v2.0/token", issuer=CLIENT, leeway=5,
            options={"require": ["exp", "nbf", "iat", "jti", "sub", "aud", "iss"]},
        )
        assert claims["sub"] == CLIENT
        assert 0 < claims["exp"] - time.time() <= 600, claims
        seen.add(claims["jti"])
    assert len(seen) == 2, "each assertion has an id of its own"
    print("PyJWT accepted our client assertion: PS256, x5t#S256, audience, issuer, times, id")


main()
