"""What scripts/attack gives to a tool and reads from its report: one line, and 1 where it is a finding.

    attack_read.py wapiti REQUESTS SESSION REPORT... | bait REPORT
    attack_read.py guesses FOLDER OWNER NUMBER | ffuf NAME MINUTES SENT REPORT [EVALUATED]
    attack_read.py sqlmap LOG | observatory FOLDER
"""

import collections
import contextlib
import json
import pathlib
import re
import sqlite3
import sys
import urllib.parse

GUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def wapiti(requests: str, session: str, *reports: str) -> bool:
    """Vulnerabilities are findings, and so are server errors. Of requests: what the proxy saw. Modules
    have their time, and the session says how far each came."""
    read = [json.load(open(report)) for report in reports]
    found = {(f["module"], f["method"], f["path"], f["parameter"], f["info"])
             for r in read for kind in ("vulnerabilities", "anomalies") for each in r[kind].values() for f in each}
    seen = [line.split() for line in open(requests)]
    posts = collections.Counter(int(status) for method, _, status in seen if method == "POST")
    errors = {f"{method} {GUID.sub('ID', path.split('?')[0])}: {status}, as {path}"[:200]
              for method, path, status in seen if int(status) >= 500}
    first = {error.split(",")[0]: error for error in sorted(errors, reverse=True)}
    reached = sum(posts.values()) - posts[403]
    forms = {GUID.sub("ID", path.split("?")[0]) for method, path, status in seen if method == "POST" and status != "403"}
    print(f"B18 B34: wapiti 3.2.3: {max(r['infos']['crawled_pages_nbr'] for r in read)} pages and forms crawled, "
          f"{len(seen)} requests, {sum(posts.values())} of them POST, of which {reached} to {len(forms)} forms were "
          f"answered other than 403; {len(found)} findings, {len(first)} addresses with server errors")
    with contextlib.closing(sqlite3.connect(session)) as db:
        attacked = db.execute("SELECT module, COUNT(DISTINCT path_id) FROM attack_logs GROUP BY 1 ORDER BY 2").fetchall()
    print("B18 B34: wapiti 3.2.3: attacked within its time:", ", ".join(f"{n} by {module}" for module, n in attacked))
    print("".join(f"  {': '.join(map(str, f))}\n" for f in sorted(found, key=str)), end="")
    print("".join(f"  {error}\n" for error in first.values()), end="")
    # Where few forms are let through, little was tried.
    return bool(found or errors or reached < 100)


def bait(report: str) -> bool:
    """The planted holes by the module that is to find each."""
    read = json.load(open(report))
    found = {f["module"] for each in read["vulnerabilities"].values() for f in each}
    missed = {"xss", "sql", "redirect", "file", "ssrf"} - found
    print(f"B34: wapiti on planted holes: {5 - len(missed)} of 5 found {' '.join(sorted(missed))}".rstrip())
    return bool(missed)


def guesses(folder: str, owner: str, number: str) -> bool:
    """What ffuf sends, line by line: accounts, a guess at each, and from where it claims to come."""
    ways = [owner, owner.upper(), f"%20{owner}", f"{owner.title()}%20"]
    for name, accounts in {
        "owner": [ways[i % 4] for i in range(int(number))],
        "thousand": [f"person{i % 1000}@haldenmsp.example" if i % 1000 else owner for i in range(int(number))],
        "hundreds": [f"somebody{i}@haldenmsp.example" for i in range(150)],
    }.items():
        count = range(len(accounts))
        for kind, lines in {"": accounts, "-guesses": [f"correct horse battery {i}" for i in count],
                            "-addresses": [f"198.18.{i // 250}.{i % 250 + 1}" for i in count]}.items():
            pathlib.Path(folder, name + kind).write_text("\n".join(lines) + "\n")
    return False


def ffuf(name: str, minutes: str, sent: str, report: str, exactly: str = "") -> bool:
    """Guesses that were evaluated: all but those that were refused with 429."""
    answers = json.load(open(report))["results"]
    statuses = collections.Counter(a["status"] for a in answers)
    accounts = collections.Counter(urllib.parse.unquote(a["input"]["WHOM"]).strip().lower()
                                   for a in answers if a["status"] != 429)
    most, hours = max(accounts.values(), default=0), max(1, int(minutes) / 60)
    evaluated = len(answers) - statuses[429]
    print(f"{name}: {len(answers)} guesses, {evaluated} evaluated, of one account {most} at most"
          f"{f', in {minutes} minutes of the clock of the server' if int(minutes) else ''}; "
          f"by status: {dict(sorted(statuses.items()))}")
    # 303 would be a sign-in, 403 a guess that came from another site. A few may be lost on the way.
    return bool(not set(statuses) <= {422, 429} or most > 100 * hours or len(answers) < int(sent) * 0.99
                or exactly and evaluated != int(exactly))


def sqlmap(log: str) -> bool:
    text = open(log).read()
    tested = re.findall(r"GET parameter '(.+?)' does not seem to be injectable", text)
    found = sorted(set(re.findall(r"^Parameter: (.+)$", text, re.M)))
    errors = sum(int(n) for n in re.findall(r"^5\d\d \(.*?\) - (\d+) times", text, re.M))
    print(f"{len(tested) + len(found)} parameters tested, {len(found)} injectable{': ' if found else ''}"
          f"{', '.join(found)}, {errors} server errors")
    return bool(found or errors or not tested)


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
