"""Microsoft's own libraries against the simulator: msal obtains tokens with a secret and with a
certificate, msgraph-sdk reads users, groups, members (with paging) and secure scores.

    python graph_sdk.py BINARY

Both insist on https, so a small proxy with a certificate of its own stands before the simulator.
"""

import asyncio
import datetime
import http.client
import http.server
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


def rsa_certificate() -> tuple[str, str]:
    """Private key and certificate of an application, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "msal")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private.decode(), cert.public_bytes(serialization.Encoding.PEM).decode()


def certificate(folder: str) -> tuple[str, str]:
    """A certificate for localhost, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    with open(cert_file, "wb") as out:
        out.write(cert.public_bytes(serialization.Encoding.PEM))
    with open(key_file, "wb") as out:
        out.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return cert_file, key_file


def proxy(target: tuple[str, int], cert_file: str, key_file: str) -> int:
    """Serves https on a free port and hands every request on; answers the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length) if length else None
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
            headers["Host"] = f"localhost:{port}"
            headers["X-Forwarded-Proto"] = "https"
            upstream = http.client.HTTPConnection(*target)
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = hand_on

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return port


def start(binary: str) -> tuple[subprocess.Popen, str]:
    """Starts the simulator; answers it and what it printed."""
    process = subprocess.Popen(
        [binary, "sim", "--sim-listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("graph ="):
            return process, printed
    raise SystemExit(f"the simulator did not start: {printed}")


async def read(root: str, token: str) -> None:
    from azure.core.credentials import AccessToken
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_authentication_azure.azure_identity_authentication_provider import (
        AzureIdentityAuthenticationProvider,
    )
    from msgraph import GraphServiceClient
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph.generated.groups.item.members.members_request_builder import MembersRequestBuilder
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder
    from msgraph_core.tasks.page_iterator import PageIterator

    class Credential:
        """The token that msal obtained."""

        def get_token(self, *_: str, **__: object) -> AccessToken:
            return AccessToken(token, int(datetime.datetime.now().timestamp()) + 3000)

    host = root.removeprefix("https://")
    provider = AzureIdentityAuthenticationProvider(
        Credential(), scopes=[f"{root}/.default"], allowed_hosts=[host, "localhost"]
    )
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = f"{root}/v1.0"
    client = GraphServiceClient(request_adapter=adapter)

    async def everything(page: object) -> list:
        found: list = []
        iterator = PageIterator(page, adapter)
        await iterator.iterate(lambda item: (found.append(item), True)[1])
        return found

    query = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
        select=["id", "displayName", "userPrincipalName", "accountEnabled"], top=50
    )
    page = await client.users.get(RequestConfiguration(query_parameters=query))
    assert page.odata_next_link, "240 users are more than one page"
    users = await everything(page)
    assert len(users) == 240, len(users)
    assert len({user.id for user in users}) == 240
    assert users[0].display_name == "Global Administrator"

    groups = await everything(await client.groups.get())
    assert len(groups) == 20, len(groups)
    query = MembersRequestBuilder.MembersRequestBuilderGetQueryParameters(top=10)
    page = await client.groups.by_group_id(groups[0].id).members.get(
        RequestConfiguration(query_parameters=query)
    )
    members = await everything(page)
    assert len(members) == 36, len(members)
    assert all(member.odata_type == "#microsoft.graph.user" for member in members)

    scores = (await client.security.secure_scores.get()).value
    assert len(scores) == 90, len(scores)
    assert scores[0].max_score > scores[0].current_score > 0
    assert scores[0].control_scores[0].control_name == "AdminMFAV2"
    profiles = await everything(await client.security.secure_score_control_profiles.get())
    assert len(profiles) == 28, len(profiles)
    print(f"msgraph-sdk read {len(users)} users, {len(groups)} groups, {len(members)} members, {len(scores)} scores")


def main() -> None:
    process, printed = start(sys.argv[1])
    try:
        address = re.search(r"http://([\d.]+):(\d+)/", printed)
        client_id = re.search(r"Client ID: (\S+)", printed)[1]
        secret = re.search(r"Client secret: (\S+)", printed)[1]
        tenant = re.search(r"Directory: (\S+) Fabrikam", printed)[1]
        with tempfile.TemporaryDirectory() as folder:
            cert_file, key_file = certificate(folder)
            port = proxy((address[1], int(address[2])), cert_file, key_file)
            root = f"https://localhost:{port}"
            os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = cert_file
            # Consent as a script gives it: the pinned request's own URL.
            consent = http.client.HTTPConnection(address[1], int(address[2]))
            consent.request(
                "GET",
                f"/{tenant}/v2.0/adminconsent?client_id={client_id}&state=x"
                "&redirect_uri=http%3A%2F%2F127.0.0.1%2Fback&scope=x%2F.default",
            )
            assert consent.getresponse().status == 303

            import msal

            def app(value: object) -> msal.ConfidentialClientApplication:
                return msal.ConfidentialClientApplication(
                    client_id,
                    client_credential=value,
                    authority=f"{root}/{tenant}",
                    validate_authority=False,
                    instance_discovery=False,
                )

            refused = app(str(uuid.uuid4())).acquire_token_for_client([f"{root}/.default"])
            assert refused["error"] == "invalid_client" and 7000215 in refused["error_codes"], refused
            answer = app(secret).acquire_token_for_client([f"{root}/.default"])
            assert "access_token" in answer, {k: v for k, v in answer.items() if k != "access_token"}
            print("msal obtained a token with a secret, and was told why a wrong one is refused")

            private_key, public_certificate = rsa_certificate()
            proof = {"private_key": private_key, "public_certificate": public_certificate}
            refused = app(proof).acquire_token_for_client([f"{root}/.default"])
            assert 700027 in refused["error_codes"], "a certificate that nobody uploaded"
            body = urllib.parse.urlencode({"client_id": client_id, "certificate": public_certificate})
            upload = http.client.HTTPConnection(address[1], int(address[2]))
            upload.request(
                "POST",
                "/_sim/certificates",
                body,
                {"content-type": "application/x-www-form-urlencoded"},
            )
            assert upload.getresponse().status == 204
            signed = app(proof).acquire_token_for_client([f"{root}/.default"])
            assert "access_token" in signed, {k: v for k, v in signed.items() if k != "access_token"}
            print("msal obtained a token with a certificate, and not before it was uploaded")
            asyncio.run(read(root, answer["access_token"]))
    finally:
        process.kill()


main()
