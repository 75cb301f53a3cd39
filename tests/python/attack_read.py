"""What a tool of scripts/attack found, read from its report: one line, and 1 where it is a finding.

    attack_read.py wapiti NAME REPORT REQUESTS | bait REPORT | ffuf REPORT... | sqlmap LOG | observatory FOLDER
"""

import collections
import json
import pathlib
import re
import sys
import urllib.parse


def wapiti(name: str, report: str, requests: str) -> bool:
    """Vulnerabilities are findings, and so are server errors. Of requests: what the proxy saw."""
    read = json.load(open(report))
    found = [f for kind in ("vulnerabilities", "anomalies") for each in read[kind].values() for f in each]
    seen = [line.split() for line in open(requests)]
    posts = collections.Counter(int(status) for method, _, status in seen if method == "POST")
    errors = [f"{method} {path}: {status}" for method, path, status in seen if int(status) >= 500]
    reached = sum(posts.values()) - posts[403]
    forms = {path.split("?")[0] for method, path, status in seen if method == "POST" and status != "403"}
    print(f"{name}: {read['infos']['crawled_pages_nbr']} pages and forms crawled, {len(seen)} requests, "
          f"{sum(posts.values())} of them POST, of which {reached} to {len(forms)} addresses were answered other "
          f"than 403, {len(found)} findings, {len(errors)} server errors")
    for finding in found:
        print(f"  {finding['module']}: {finding['method']} {finding['path']} {finding['parameter']}: {finding['info']}")
    print("".join(f"  {error}\n" for error in errors[:20]), end="")
    # Where no form is let through, nothing was tried.
    return bool(found or errors or reached < 100)


def bait(report: str) -> bool:
    """The planted holes by the module that is to find each."""
    read = json.load(open(report))
    found = {f["module"] for each in read["vulnerabilities"].values() for f in each}
    missed = {"xss", "sql", "redirect", "file", "ssrf"} - found
    print(f"B34: wapiti on planted holes: {5 - len(missed)} of 5 found {' '.join(sorted(missed))}".rstrip())
    return bool(missed)


def ffuf(name: str, *reports: str) -> bool:
    """Guesses that were evaluated: all but those that were refused with 429."""
    answers = [a for report in reports for a in json.load(open(report))["results"]]
    statuses = collections.Counter(a["status"] for a in answers)
    accounts = collections.Counter(urllib.parse.unquote(a["input"]["WHOM"]).strip().lower() for a in answers if a["status"] != 429)
    print(f"{name}: {len(answers)} guesses, {len(answers) - statuses[429]} evaluated, of one account at most "
          f"{max(accounts.values(), default=0)}; by status: {dict(sorted(statuses.items()))}", end="")
    # 303 would be a sign-in, 403 a guess that came from another site.
    return not set(statuses) <= {422, 429} or max(accounts.values(), default=0) > 100


def sqlmap(log: str) -> bool:
    text = open(log).read()
    tested = re.findall(r"GET parameter '(.+?)' does not seem to be injectable", text)
    found = set(re.findall(r"((?:GET|URI) parameter '.+?') is vulnerable", text))
    found |= set(re.findall(r"Parameter: (.+)", text))
    print(f"{len(tested) + len(found)} parameters tested, {len(found)} injectable {', '.join(sorted(found))}".rstrip())
    return bool(found) or not tested


def observatory(folder: str) -> bool:
    bad, scores = [], []
    for file in sorted(pathlib.Path(folder).glob("*.json")):
        read = json.loads(file.read_text())
        name, score = file.stem.replace("-", " "), read.get("scan", {}).get("score", 0)
        policy = str(next((t.get("result") for n, t in read.get("tests", {}).items() if n == "content-security-policy"), None))
        scores.append(f"{name} {score}")
        if score < 100 or "no-unsafe" not in policy:
            bad.append(f"  {name}: {policy}: " + str(read.get("error") or {
                n: t["result"] for n, t in read["tests"].items() if not t.get("pass")}))
    print(f"{len(scores)} classes of page: {', '.join(scores)}", *bad, sep="\n")
    return bool(bad)


sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
