"""Seal the audit trail, and find what was bent since.

A seal covers every row written to an append-only table since the seal before: it keeps each row's SHA-256, signs
their Merkle root together with the previous seal (Ed25519, key apart from the database), so that a changed,
inserted or removed row is found and named, even if a superuser made the change with triggers off.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction

from registry import audit, merkle
from registry.models import AuditEvent, AuditSeal, Signature, User
from registry.permissions import Permission, authorise


@dataclass(frozen=True)
class Problem:
    """One thing that verification found: what, where (table and key), and what it means."""

    kind: str
    table: str
    key: int | None
    message: str


@dataclass(frozen=True)
class Verification:
    """What was checked, and every problem found; clean when there is none."""

    seals: int
    rows: int
    unsealed: int
    problems: list[Problem]

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"clean": not self.problems}


def sealed_tables() -> list[type[models.Model]]:
    """Every append-only table: the histories of all audited models, events and signatures."""
    histories = [model.history.model for model in audited_models()]
    return sorted([*histories, AuditEvent, Signature], key=lambda model: model._meta.db_table)


def audited_models() -> list[type[audit.Audited]]:
    return [model for model in apps.get_models() if issubclass(model, audit.Audited)]


def seal(*, by: User) -> AuditSeal | None:
    """Seal what was written since the last seal; None when there is nothing new."""
    authorise(by, Permission.AUDIT_SEAL)
    settled = _settled()
    with audit.change(by=by):
        _one_sealer_at_a_time()
        last = AuditSeal.objects.order_by("-pk").first()
        entries = list(_rows_between(last.upto if last else {}, settled))
        if not entries:
            return None
        upto = dict(last.upto) if last else {}
        for table, key, _digest in entries:
            upto[table] = max(key, upto.get(table, 0))
        root = merkle.root([_leaf(*entry) for entry in entries]).hex()
        previous = last.root if last else ""
        return AuditSeal.objects.create(
            upto=upto,
            rows=len(entries),
            entries=zlib.compress("\n".join(f"{table} {key} {digest}" for table, key, digest in entries).encode()),
            root=root,
            previous=previous,
            signature=_key().sign(_statement(root, previous, upto, len(entries))).hex(),
            public_key=_public_key(),
        )


def verify() -> Verification:
    """Compare every sealed row with what its seal says, and each seal with its signature and predecessor."""
    problems: list[Problem] = []
    rows, previous = 0, ""
    covered: dict[str, int] = {}
    for one in AuditSeal.objects.order_by("pk").iterator():
        entries = [line.split(" ") for line in zlib.decompress(bytes(one.entries)).decode().splitlines()]
        problems += _seal_problems(one, entries, previous)
        problems += _row_problems(one, entries, covered)
        rows += len(entries)
        covered, previous = one.upto, one.root
    unsealed = sum(1 for _ in _rows_between(covered, None))
    return Verification(AuditSeal.objects.count(), rows, unsealed, problems)


def _seal_problems(one: AuditSeal, entries: list[list[str]], previous: str) -> Iterator[Problem]:
    table = AuditSeal._meta.db_table
    root = merkle.root([_leaf(name, int(key), digest) for name, key, digest in entries]).hex()
    if root != one.root:
        yield Problem("seal_altered", table, one.pk, f"seal {one.pk}: its rows do not give its root")
    if one.previous != previous:
        yield Problem("seal_missing", table, one.pk, f"seal {one.pk} does not follow the one before it")
    if one.public_key != _public_key():
        yield Problem("seal_key", table, one.pk, f"seal {one.pk} was signed with another key")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(_public_key()))
        key.verify(bytes.fromhex(one.signature), _statement(one.root, one.previous, one.upto, one.rows))
    except (InvalidSignature, ValueError):
        yield Problem("seal_signature", table, one.pk, f"seal {one.pk}: its signature is not valid")


def _row_problems(one: AuditSeal, entries: list[list[str]], covered: dict[str, int]) -> Iterator[Problem]:
    sealed = {(table, int(key)): digest for table, key, digest in entries}
    present = {(table, key): digest for table, key, digest in _rows_between(covered, one.upto)}
    for table, key in sorted(sealed.keys() | present.keys()):
        place = (table, key)
        if place not in present:
            yield Problem("row_removed", table, key, f"{table} row {key} was removed after seal {one.pk}")
        elif place not in sealed:
            yield Problem("row_inserted", table, key, f"{table} row {key} was inserted after seal {one.pk}")
        elif sealed[place] != present[place]:
            yield Problem("row_altered", table, key, f"{table} row {key} was altered after seal {one.pk}")


def _rows_between(after: dict[str, int], upto: dict[str, int] | None) -> Iterator[tuple[str, int, str]]:
    """(table, key, SHA-256 of the row) in order. Null columns don't count, so that a new one changes no old digest."""
    for model in sealed_tables():
        table, key = model._meta.db_table, model._meta.pk.column
        first = after.get(table)
        last = None if upto is None else upto.get(table, 0)
        query = (
            f"SELECT {key}, encode(sha256(convert_to(jsonb_strip_nulls(to_jsonb(t))::text, 'UTF8')), 'hex') "  # noqa: S608
            f"FROM {table} t WHERE (%s::bigint IS NULL OR {key} > %s) AND (%s::bigint IS NULL OR {key} <= %s) "
            f"ORDER BY {key}"
        )
        with connection.cursor() as cursor:
            cursor.execute(query, [first, first, last, last])
            for primary_key, digest in cursor:
                yield table, primary_key, digest


def _settled() -> dict[str, int]:
    """The last key of each table below which no transaction under way can still commit a row: the row would look
    inserted later. One table at a time, so that a writer who holds one and wants another never waits in a ring."""
    upto = {}
    for model in sealed_tables():
        table, key = model._meta.db_table, model._meta.pk.column
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
            cursor.execute(f"SELECT coalesce(max({key}), 0) FROM {table}")  # noqa: S608
            upto[table] = cursor.fetchone()[0]
    return upto


def _one_sealer_at_a_time() -> None:
    """Two seals over the same rows would each find the other's rows removed."""
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {AuditSeal._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def _leaf(table: str, key: int, digest: str) -> bytes:
    return f"{table} {key} {digest}".encode()


def _statement(root: str, previous: str, upto: dict[str, int], rows: int) -> bytes:
    """What a seal signs."""
    return json.dumps([root, previous, upto, rows], sort_keys=True, separators=(",", ":")).encode()


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.SEAL_KEY))


def _public_key() -> str:
    return _key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
