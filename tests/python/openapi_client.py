"""A client generated from the OpenAPI document by a generator that is not ours (openapi-python-client)
does a part of the main job against the running product, with types.

    python openapi_client.py PATH_TO_TENANTRY
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

binary = sys.argv[1]
folder = tempfile.mkdtemp()
os.chmod(folder, 0o700)
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
root = f"http://127.0.0.1:{port}"
added = subprocess.run(
    [binary, "partner", "add", "Halden", "--owner", "o@halden.example", "--token", "--data-dir", f"{folder}/data"],
    capture_output=True, text=True, check=True).stdout
token = re.search(r"^API token: (\S+)$", added, re.M).group(1)
log = open(f"{folder}/log", "w")
server = subprocess.Popen([binary, "serve", "--data-dir", f"{folder}/data", "--listen", f"127.0.0.1:{port}"], stdout=log, stderr=log)
try:
    for _ in range(200):
        try:
            document = json.load(urllib.request.urlopen(f"{root}/api/v1/openapi.json"))
            break
        except OSError:
            time.sleep(0.1)
    with open(f"{folder}/openapi.json", "w") as file:
        json.dump(document, file)
    # What is no JSON is bytes to a client; the generator knows one media type of that kind by itself.
    bytes_of = ["application/zip", "application/pdf", "application/x-ndjson"]
    with open(f"{folder}/config.json", "w") as file:
        json.dump({"content_type_overrides": {kind: "application/octet-stream" for kind in bytes_of}}, file)
    generated = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "openapi-python-client"), "generate", "--path", f"{folder}/openapi.json",
         "--output-path", f"{folder}/client", "--meta", "none", "--overwrite", "--config", f"{folder}/config.json"],
        capture_output=True, text=True, env={**os.environ, "PATH": os.path.dirname(sys.executable) + ":" + os.environ["PATH"]})
    said = generated.stdout + generated.stderr
    assert generated.returncode == 0, said
    operations = sum(len(methods) for methods in document["paths"].values())
    left_out = re.findall(r"WARNING parsing .*(?:\n.+)*", said)
    assert not left_out, said

    sys.path.insert(0, folder)
    from client import AuthenticatedClient
    from client import models
    import importlib
    import pkgutil
    import client.api as api

    made = [name for _, name, is_package in pkgutil.walk_packages(api.__path__, "client.api.") if not is_package]
    named = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    lost = set(named) - {module.rsplit(".", 1)[1] for module in made}
    assert len(set(named)) == operations == len(made), f"{len(made)} of {operations} operations: {lost} {sorted(set(n for n in named if named.count(n) > 1))}"

    def operation(method, path):
        """The generated function of an operation: by its operationId."""
        name = document["paths"][path][method]["operationId"]
        return importlib.import_module(next(m for m in made if m.rsplit(".", 1)[1] == name))

    caller = AuthenticatedClient(base_url=root, token=token)
    new = models.NewCompany(name="Contoso", domain="contoso.example")
    company = operation("post", "/api/v1/companies").sync(client=caller, body=new)
    assert isinstance(company, models.Company) and company.name == "Contoso", company
    listed = operation("get", "/api/v1/companies").sync(client=caller)
    assert [one.id for one in listed.value] == [company.id], listed
    refused = operation("post", "/api/v1/companies").sync(client=caller, body=models.NewCompany(name=""))
    assert isinstance(refused, models.Problem) and refused.errors[0].field == "name", refused
    users = operation("get", "/api/v1/companies/{id}/users").sync(company.id, client=caller, mfa="missing")
    assert users.value == [], users
    print(f"a client of {operations} operations was generated, and works")
finally:
    server.send_signal(signal.SIGTERM)
    server.wait()
