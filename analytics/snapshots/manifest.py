"""The manifest of a dataset: content, hash of the content, hash of every file; and its verification."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analytics.snapshots import tables
from analytics.snapshots.tables import Column, Table

FORMAT = "lobule-dataset/1"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it was locked. `code`: missing, altered, extra, unreadable, content, hash, manifest."""

    file: str
    code: str
    detail: str = ""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the text that is hashed."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def path_of(name: str) -> str:
    return f"{name}.parquet"


def write(
    folder: Path,
    found: Iterable[Table],
    documents: Mapping[str, Any],
    facts: Mapping[str, Any],
    origin: Mapping[str, Any],
    links: Table | None = None,
) -> dict[str, Any]:
    """Write tables and JSON documents into `folder`; returns the manifest, which is written last.

    `facts` and the documents belong to the hashed content. `origin` (who, which software, machine ids in `links`)
    does not: it differs between machines that hold the same content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {}
    for one in found:
        tables.write(one, folder / path_of(one.name))
        described[one.name] = {
            "rows": len(one.rows),
            "key": one.key,
            "columns": [[column.name, column.type] for column in one.columns],
            "content_sha256": one.content_sha256(),
        }
    for name, document in documents.items():
        (folder / name).write_text(canonical(document), encoding="utf-8")
    if links is not None:
        tables.write(links, folder / path_of(links.name))
    content = {
        **facts,
        "format": FORMAT,
        "tables": described,
        "documents": {name: digest(document) for name, document in documents.items()},
    }
    manifest = {"content": content, "hash": digest(content), "files": _files(folder), "origin": dict(origin)}
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")
    return manifest


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.relative_to(folder).as_posix(): {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def read(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def load(folder: Path, manifest: Mapping[str, Any], name: str) -> Table:
    """One table of a dataset. Raises KeyError where the dataset has none of that name."""
    about = manifest["content"]["tables"][name]
    columns = [Column(*column) for column in about["columns"]]
    return tables.read(folder / path_of(name), name, columns, about["key"])


def verify(folder: Path, locked: Mapping[str, Any]) -> list[Fault]:
    """Recompute every file's hash, every table's content hash and the dataset's hash against the `locked` manifest."""
    if not folder.is_dir():
        return [Fault(str(folder.name), "missing", "the dataset's folder is gone")]
    faults = _manifest_faults(folder, locked)
    present = _files(folder)
    for name, about in locked["files"].items():
        if name not in present:
            faults.append(Fault(name, "missing"))
        elif present[name] != about:
            faults.append(Fault(name, "altered", f"SHA-256 {present[name]['sha256']}, locked as {about['sha256']}"))
    faults += [Fault(name, "extra") for name in present if name not in locked["files"]]
    faults += _content_faults(folder, locked)
    if digest(locked["content"]) != locked["hash"]:
        faults.append(Fault(MANIFEST, "hash", "the content does not have the hash that was signed"))
    return faults


def _manifest_faults(folder: Path, locked: Mapping[str, Any]) -> list[Fault]:
    try:
        if read(folder) != locked:
            return [Fault(MANIFEST, "manifest", "it is not the manifest that was signed")]
    except (OSError, ValueError) as error:
        return [Fault(MANIFEST, "unreadable", str(error))]
    return []


def _content_faults(folder: Path, locked: Mapping[str, Any]) -> list[Fault]:
    faults = []
    for name, about in locked["content"]["tables"].items():
        try:
            if load(folder, locked, name).content_sha256() != about["content_sha256"]:
                faults.append(Fault(path_of(name), "content", "its rows are not those that were locked"))
        except Exception as error:  # whatever a damaged Parquet file makes the library raise
            faults.append(Fault(path_of(name), "unreadable", f"{type(error).__name__}: {error}"))
    for name, sha256 in locked["content"]["documents"].items():
        try:
            if digest(json.loads((folder / name).read_text(encoding="utf-8"))) != sha256:
                faults.append(Fault(name, "content", "it is not the document that was locked"))
        except (OSError, ValueError) as error:
            faults.append(Fault(name, "unreadable", str(error)))
    return faults
