"""The peer: a script on Microsoft's msgraph-sdk that reads the same collections of one directory into
SQLite, as an administrator would write it with the SDK at hand.

    python peer.py ROOT DIRECTORY CLIENT_ID SECRET DATABASE

Plain http and a token of its own, so that neither TLS nor a sign-in library counts against it.
"""

import asyncio
import json
import resource
import sqlite3
import sys
import time
import urllib.parse
import urllib.request

from kiota_abstractions.authentication.authentication_provider import AuthenticationProvider
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphServiceClient
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph_core import GraphClientFactory

root, directory, client_id, secret, path = sys.argv[1:6]
root = root.rstrip("/")


def token() -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
        "scope": f"{root}/.default",
    }
    url = f"{root}/{directory}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
        return json.load(answer)["access_token"]


class Bearer(AuthenticationProvider):
    def __init__(self) -> None:
        self.token = token()

    async def authenticate_request(self, request, additional_authentication_context=None) -> None:
        request.headers.try_add("Authorization", f"Bearer {self.token}")


USER = (
    "id,displayName,userPrincipalName,mail,givenName,surname,jobTitle,department,officeLocation,"
    "companyName,employeeId,employeeType,onPremisesSamAccountName,usageLocation,userType,"
    "externalUserState,accountEnabled,onPremisesSyncEnabled,assignedLicenses,createdDateTime,"
    "lastPasswordChangeDateTime"
).split(",")
GROUP = (
    "id,displayName,description,groupTypes,securityEnabled,mailEnabled,mail,visibility,"
    "membershipRule,isAssignableToRole,onPremisesSyncEnabled,createdDateTime"
).split(",")
DEVICE = (
    "id,displayName,deviceId,operatingSystem,operatingSystemVersion,manufacturer,model,trustType,"
    "isCompliant,isManaged,accountEnabled,approximateLastSignInDateTime,registrationDateTime"
).split(",")
MFA = "id,isAdmin,isMfaRegistered,isMfaCapable,isPasswordlessCapable,methodsRegistered,lastUpdatedDateTime".split(",")


def snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def plain(value):
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, list):
        return json.dumps([str(plain(item)) for item in value])
    return str(value)


class Peer:
    def __init__(self) -> None:
        adapter = GraphRequestAdapter(
            Bearer(), client=GraphClientFactory.create_with_default_middleware(host=root)
        )
        adapter.base_url = f"{root}/v1.0"
        self.graph = GraphServiceClient(request_adapter=adapter)
        self.db = sqlite3.connect(path)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.requests = 0

    async def list(self, table, builder, names, parent=None, **query):
        """Every page of a collection into a table; answers the ids."""
        columns = [snake(name) for name in names]
        keys = (["parent"] if parent else []) + columns
        self.db.execute(
            f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(keys)}, PRIMARY KEY ({'parent, ' if parent else ''}id))"
        )
        configuration = RequestConfiguration()
        parameters = [k for k in vars(type(builder)) if k.endswith("QueryParameters")]
        if query and parameters:
            configuration.query_parameters = getattr(type(builder), parameters[0])(**query)
        page = await builder.get(request_configuration=configuration)
        ids = []
        while page:
            self.requests += 1
            rows = [
                ([parent] if parent else []) + [plain(getattr(item, c, None)) for c in columns]
                for item in page.value
            ]
            marks = ", ".join("?" * len(keys))
            with self.db:
                self.db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)
            ids += [item.id for item in page.value]
            if not page.odata_next_link:
                break
            page = await builder.with_url(page.odata_next_link).get()
        return ids

    async def read(self) -> int:
        g = self.graph
        users = await self.list("users", g.users, USER, select=USER, top=999)
        groups = await self.list("groups", g.groups, GROUP, select=GROUP, top=999)
        for group in groups:
            members = g.groups.by_group_id(group).members
            await self.list("members", members, ["id", "displayName"], group, select=["id", "displayName"], top=999)
        details = g.reports.authentication_methods.user_registration_details
        await self.list("mfa", details, MFA, top=999)
        await self.list("devices", g.devices, DEVICE, select=DEVICE, top=999)
        await self.list("activity", g.users, ["id", "signInActivity"], select=["id", "signInActivity"], top=500)
        await self.list("applications", g.applications, ["id", "appId", "displayName"], top=999)
        await self.list("principals", g.service_principals, ["id", "appId", "displayName"], top=999)
        await self.list("definitions", g.role_management.directory.role_definitions, ["id", "displayName"])
        assignments = g.role_management.directory.role_assignments
        await self.list("roles", assignments, ["id", "principalId", "roleDefinitionId"])
        await self.list("policies", g.identity.conditional_access.policies, ["id", "displayName", "state"])
        await self.list("skus", g.subscribed_skus, ["id", "skuId", "servicePlans"])
        await self.list("domains", g.domains, ["id", "authenticationType"])
        return len(users)


async def main() -> None:
    # Loading the library is not reading.
    peer = Peer()
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    users = await peer.read()
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"PEER wall={time.monotonic() - began:.3f} cpu={used:.3f} requests={peer.requests}"
        f" users={users} peak={after.ru_maxrss / 1024:.1f}"
    )


asyncio.run(main())
