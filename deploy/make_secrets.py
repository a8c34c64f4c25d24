#!/usr/bin/env python3
"""Write the secrets of an installation as files, once; what is there is kept.

    python3 deploy/make_secrets.py [FOLDER] [--postgres HOST:PORT] [--valkey HOST:PORT]

Standard library only: it runs on the machine of the installation before anything is installed there.
"""

import argparse
import secrets
from pathlib import Path

KEYS = ("secret_key", "identity_keys", "pseudonym_key", "seal_key")
PASSWORDS = ("postgres_password", "owner_password", "app_password", "valkey_password")


def write(folder: Path, postgres: str, valkey: str) -> list[str]:
    """Make what is missing in `folder`; return the names of the files written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = [name for name in (*KEYS, *PASSWORDS) if _write_once(folder / name, secrets.token_hex(32))]
    read = {name: (folder / name).read_text().strip() for name in PASSWORDS}
    addresses = {
        "database_url": f"postgresql://lobule_app:{read['app_password']}@{postgres}/lobule",
        "database_owner_url": f"postgresql://lobule_owner:{read['owner_password']}@{postgres}/lobule",
        "celery_broker_url": f"redis://:{read['valkey_password']}@{valkey}/0",
    }
    return written + [name for name, value in addresses.items() if _write_once(folder / name, value)]


def _write_once(path: Path, value: str) -> bool:
    """The folder keeps other people out; the files are readable, since containers run as another user."""
    if path.exists():
        return False
    path.write_text(value + "\n")
    path.chmod(0o444)
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).with_name("secrets"))
    parser.add_argument("--postgres", default="postgres:5432", help="where PostgreSQL answers (default: %(default)s)")
    parser.add_argument("--valkey", default="valkey:6379", help="where Valkey answers (default: %(default)s)")
    given = parser.parse_args()
    names = write(given.folder, given.postgres, given.valkey)
    print(f"{given.folder}: wrote {', '.join(names)}" if names else f"{given.folder}: all there, nothing written")
