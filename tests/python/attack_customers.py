"""Connects simulated customers to the demo that scripts/attack started, has one read, and writes the
addresses of lists with what can be asked of them.

    attack_customers.py ROOT OUTPUT_OF_DEMO LISTS
"""

import http.cookiejar
import json
import pathlib
import re
import sys
import time
import urllib.request

root, output, lists = sys.argv[1], pathlib.Path(sys.argv[2]).read_text(), sys.argv[3]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def said(name: str) -> str:
    return re.search(rf"^ *{name}: (\S+)$", output, re.M)[1]


def api(path: str, body: dict | None = None) -> dict:
    headers = {"authorization": f"Bearer {said('API token')}", "content-type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    return json.loads(browser.open(urllib.request.Request(f"{root}/api/v1{path}", data, headers)).read())


microsoft = browser.open(re.search(r"simulated tenants: (\S+)", output)[1]).read().decode()
credential = api("/credentials", {
    "name": "Halden production", "cloud": "custom", "directory_id": said("Tenant ID"),
    "client_id": said("Client ID"), "client_secret": said("Client secret"),
})["id"]
# Its own tenant and two customers. The name of the second is made of markup: that one is mapped, and
# the others are there to be mapped.
customers = re.findall(r"(?:Contoso Bakery|&lt;b&gt;Brothers).*?<code>([0-9a-f-]{36})", microsoft)
for directory in [said("Tenant ID"), *customers]:
    # The simulated administrator agrees by itself where a script asks.
    browser.open(api("/consent-requests", {"credential_id": credential, "directory_id": directory})["url"]).read()
tenant = next(t["id"] for t in api("/tenants")["value"] if "Brothers" in t["display_name"])
mapped = api("/mappings", {"tenant_id": tenant})
company, mapping = mapped["company_id"], mapped["id"]
for _ in range(300):
    if all(r["state"] not in ("queued", "running") for r in api(f"/runs?mapping_id={mapping}&kind=directory")["value"]):
        break
    time.sleep(0.2)

here, entra, days = f"/companies/{company}", "/settings/integrations/entra", "from=2026-01-01&to=2040-01-01"
paths = [
    "/companies?q=a&page=1",
    f"{here}/users?q=a&type=member&status=enabled&mfa=registered&licensed=yes&sort=upn&page=1",
    f"{here}/groups?q=a&kind=security&page=1",
    f"{here}/directory/devices?q=a&sort=name&desc=1&page=1",
    f"{here}/secure-score?q=a&status=open&mapping={mapping}",
    f"/jobs?state=completed&kind=directory&company={company}&{days}&page=1",
    f"/settings/audit?action=credential.create&actor=demo&target=Halden&{days}&page=1",
    f"{entra}/tenants?credential={credential}&state=&q=a&page=1",
    f"{entra}/mappings?credential={credential}&q=a",
    f"{entra}/mappings/import?credential={credential}&q=a&sort=domain",
    "/api/v1/companies?limit=1&after=0",
    f"/api/v1{here}/users?search=a&limit=1&after=1",
    f"/api/v1/runs?company_id={company}&mapping_id={mapping}&kind=directory&state=completed"
    "&since=2026-01-01T00:00:00Z&until=2040-01-01T00:00:00Z&limit=1",
    f"/api/v1/tenants?credential_id={credential}&mapped=true",
]
pathlib.Path(lists).write_text("".join(f"{root}{path}\n" for path in paths))
