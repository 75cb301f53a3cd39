"""Mail by SMTP, to a server that is not ours: aiosmtpd, with STARTTLS by an authority of its own and a
password; and one that answers 550.

    python smtp_channel.py PATH_TO_TENANTRY
"""

import email
import email.policy
import json
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

# What the server notes of a handshake that we refuse, on purpose.
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

binary = sys.argv[1]
folder = tempfile.mkdtemp()
os.chmod(folder, 0o700)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Inbox:
    def __init__(self):
        self.mails = []
        self.refuse = False

    async def handle_DATA(self, server, session, envelope):
        if self.refuse:
            return "550 5.7.1 We do not want this"
        self.mails.append((session.ssl is not None, session.authenticated, envelope))
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and (data.login, data.password) == (b"alerts", b"a secret of smtp")
    return AuthResult(success=ok, handled=ok)  # not handled: the server itself answers 535


authority = trustme.CA()
certificate = authority.issue_cert("localhost")
with open(f"{folder}/authority.pem", "wb") as file:
    file.write(authority.cert_pem.bytes())
import ssl  # noqa: E402

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
certificate.configure_cert(context)
inbox = Inbox()
mail_port = free_port()
controller = Controller(inbox, hostname="127.0.0.1", port=mail_port, tls_context=context, require_starttls=True,
                        auth_required=True, authenticator=authenticate)
controller.start()

port = free_port()
with open(f"{folder}/tenantry.toml", "w") as file:
    file.write('[outbound]\nallow = ["127.0.0.0/8", "::1/128"]\n')
common = ["--data-dir", f"{folder}/data", "--config", f"{folder}/tenantry.toml"]
made = subprocess.run([binary, "partner", "add", "Halden", "--owner", "o@halden.example", "--token", *common],
                      capture_output=True, text=True, check=True)
token = re.search(r"^API token: (\S+)", made.stdout, re.M)[1]
# The server trusts the authority beside the system's.
environment = {**os.environ, "SSL_CERT_FILE": f"{folder}/authority.pem"}
server = subprocess.Popen([binary, "serve", "--listen", f"127.0.0.1:{port}", *common], env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def call(method, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v1{path}", method=method,
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={"authorization": f"Bearer {token}", "content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


def until(what):
    last = None
    for _ in range(300):
        try:
            last = what()
        except OSError as error:
            last = None if isinstance(error, ConnectionError) else error
        if last and not isinstance(last, OSError):
            return last
        time.sleep(0.1)
    raise SystemExit(f"it did not come to that: {last!r}, {deliveries()!r}")


def channel(name, password, security="starttls"):
    return call("POST", "/channels", {
        "name": name, "password": password,
        "settings": {"kind": "smtp", "host": "localhost", "port": mail_port, "security": security, "username": "alerts",
                     "from": "alerts@halden.example", "to": ["ops@halden.example", "boss@halden.example"]},
    })["id"]


def state(id):
    return call("GET", f"/channels/{id}/deliveries")["value"][0]


def deliveries():
    return [state(one["id"]) for one in call("GET", "/channels")["value"]]


try:
    until(lambda: call("GET", "/channels"))
    right = channel("Service desk", "a secret of smtp")
    call("POST", f"/channels/{right}/tests", {})
    sent = until(lambda: state(right)["state"] == "sent" and state(right))
    [(over_tls, signed_in, envelope)] = inbox.mails
    assert over_tls and signed_in, "neither TLS nor a password"
    assert envelope.mail_from == "alerts@halden.example", envelope.mail_from
    assert envelope.rcpt_tos == ["ops@halden.example", "boss@halden.example"], envelope.rcpt_tos
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["subject"] == "Test of a notification channel", mail["subject"]
    assert mail["message-id"].startswith(f"<{sent['id']}@"), mail["message-id"]
    assert "notifications arrive here" in mail.get_content(), mail.get_content()

    wrong = channel("Wrong password", "another")
    call("POST", f"/channels/{wrong}/tests", {})
    until(lambda: state(wrong)["error"])
    assert "535" in state(wrong)["error"], state(wrong)
    assert state(wrong)["state"] == "failed", "a wrong password is tried on"

    inbox.refuse = True
    call("POST", f"/channels/{right}/tests", {})
    refused = until(lambda: state(right)["state"] == "failed" and state(right))
    assert "550" in refused["error"] and "We do not want this" in refused["error"], refused
    inbox.refuse = False

    # Whoever has no certificate of the name gets nothing.
    server.terminate()
    server.wait()
    environment.pop("SSL_CERT_FILE")
    server = subprocess.Popen([binary, "serve", "--listen", f"127.0.0.1:{port}", *common], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: call("GET", "/channels"))
    before = len(inbox.mails)
    call("POST", f"/channels/{right}/tests", {})
    until(lambda: state(right)["error"])
    assert "TLS" in state(right)["error"], state(right)
    assert len(inbox.mails) == before
    print("SMTP: sent over STARTTLS with a password; refused, a wrong password and a strange certificate are said")
finally:
    server.terminate()
    controller.stop()
