"""An audit log, verified by a program that shares no code with the product: it was written from
docs/audit.md alone.

    python audit_verify.py LOG CHECKPOINTS      audit-log.ndjson and audit-checkpoints.ndjson
    python audit_verify.py --test BINARY        against the product, and against what was tampered with
"""

import base64
import hashlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(log: str, checkpoints: str) -> str:
    """What is wrong, or an empty text."""
    heads, before = {}, ""
    for number, line in enumerate(reversed(log.splitlines()), 1):
        row = json.loads(line)
        if row[0] != "tenantry audit 1" or row[2] != number:
            return f"row {number} is missing or of another form"
        if row[13] != before:
            return f"row {number} does not follow the row before it"
        before = hashlib.sha256(line.encode()).hexdigest()
        heads[(row[1], number)] = before
    keys, seen = {}, 0
    for line in checkpoints.splitlines():
        entry = json.loads(line)
        if "public_key" in entry:
            keys[entry["key"]] = entry["public_key"]
            continue
        text = "tenantry audit checkpoint 1\n" + "".join(
            f"{entry[name]}\n" for name in ("partner", "seq", "head", "at")
        )
        key = keys[entry["key"]]
        if hashlib.sha256(key.encode()).hexdigest()[:16] != entry["key"]:
            return "a key is not the one of its name"
        try:
            Ed25519PublicKey.from_public_bytes(unpadded(key)).verify(unpadded(entry["signature"]), text.encode())
        except InvalidSignature:
            return f"the checkpoint at row {entry['seq']} is not signed"
        if heads.get((entry["partner"], entry["seq"])) != entry["head"]:
            return f"the checkpoint at row {entry['seq']} saw another log"
        seen += 1
    return "" if seen else "there is no checkpoint"


def test(binary: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        product = [binary, "--data-dir", folder]
        subprocess.run([*product, "partner", "add", "Halden", "--owner", "o@halden.example"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*product, "audit", "checkpoint"], check=True, stdout=subprocess.DEVNULL)
        out = {
            what: subprocess.run([*product, "audit", "export", what], check=True, stdout=subprocess.PIPE, text=True).stdout
            for what in ("log", "checkpoints")
        }
        log, checkpoints = out["log"], out["checkpoints"]
        rows = log.splitlines()
        assert len(rows) >= 2, log
        assert verify(log, checkpoints) == "", verify(log, checkpoints)
        for name, tampered in {
            "edited": log.replace("partner.create", "partner.delete"),
            "cut off": "\n".join(rows[1:]),
            "without its first row": "\n".join(rows[:-1]),
            "moved": "\n".join(reversed(rows)),
        }.items():
            assert verify(tampered, checkpoints), name
        assert verify(log, checkpoints.replace('"seq":', '"seq":1')), "forged"
        # Our own command says the same of the database itself.
        file = sqlite3.connect(pathlib.Path(folder) / "tenantry.db")
        file.executescript("DROP TRIGGER audit_rows_no_UPDATE; UPDATE audit_rows SET actor_name = 'x' WHERE seq = 1")
        file.close()
        broken = subprocess.run([*product, "audit", "verify"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert broken.returncode != 0 and "row 1: its content was changed" in broken.stdout, broken
        print(f"audit log: {len(rows)} rows verified from docs/audit.md, 5 tamperings found")


if __name__ == "__main__":
    if sys.argv[1] == "--test":
        test(sys.argv[2])
    else:
        texts = [pathlib.Path(path).read_text() for path in sys.argv[1:3]]
        wrong = verify(*texts)
        print(wrong or "unbroken")
        sys.exit(bool(wrong))
