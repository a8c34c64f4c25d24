"""Lock a dataset: the PI signs a frozen snapshot; verify it; export it."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Max
from django.utils.translation import gettext as _

from analytics.models import Dataset, DatasetRecord, StudyRules
from analytics.selectors import datasets as kept
from analytics.selectors import readiness, rules, storage
from analytics.selectors.content import Content, content
from analytics.selectors.readiness import Readiness
from analytics.snapshots import manifest
from analytics.snapshots.manifest import Fault
from analytics.snapshots.software import versions
from crf.models import Record
from crf.services import records
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise
from registry.services import signatures

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")  # it becomes the name of a folder where a dataset is exported to
MEANING = "I lock this dataset for analysis"


class LockRefused(Exception):
    """The dataset can't be locked now; the message says why and what to do."""


class ExportRefused(Exception):
    """The dataset can't be exported; the message says why and what to do."""


def preflight(*, study: Study, by: User) -> Readiness:
    """What is open before a lock: findings, forms, masks, images."""
    authorise(by, Permission.DATASET_VIEW, study=study)
    return readiness.readiness(study)


def lock(*, study: Study, name: str, password: str, exceptions: Mapping[str, str] | None = None, by: User) -> Dataset:
    """Freeze the study's content, sign its hash with the PI's password and lock its records. All of it, or nothing.

    `exceptions` gives, for each kind of open issue, why the lock goes on with it. Raises WrongPassword, LockRefused.
    """
    authorise(by, Permission.DATASET_LOCK, study=study)
    name, exceptions = name.strip(), {kind: why.strip() for kind, why in (exceptions or {}).items() if why.strip()}
    in_force = _guard(study, name)
    signatures.reauthenticate(password=password, study=study, by=by)
    with storage.aside("dataset") as folder, audit.change(by=by, reason=_("Dataset lock %(name)s") % {"name": name}):
        _one_at_a_time(study)
        _guard_open_issues(study, exceptions)
        _lock_records(study, name, by)
        held = content(study, in_force)
        written = _write(folder, study, name, held, in_force, exceptions)
        dataset = _signed(study, name, password, held, written, in_force, exceptions, by)
        _link_records(dataset, held)
        details = {"name": name, "version": dataset.version, "hash": dataset.hash, **held.counts}
        audit.event(kind="dataset.lock", study=study, details=details | {"exceptions": exceptions})
        storage.settle(folder, dataset.folder)
    return dataset


def verify(*, dataset: Dataset, by: User) -> list[Fault]:
    """Recompute every hash of the dataset; the faults name the file. None is: as it was locked."""
    authorise(by, Permission.DATASET_VIEW, study=dataset.study)
    faults = kept.faults(dataset)
    with audit.change(by=by):
        details = {"dataset": dataset.pk, "hash": dataset.hash, "faults": [one.file for one in faults]}
        audit.event(kind="dataset.verify", study=dataset.study, details=details)
    return faults


def export(*, dataset: Dataset, folder: Path, by: User) -> Path:
    """Copy the dataset's files into `folder`/<study>-<name>-v<version>; the folder must not be there yet.

    Raises ExportRefused, also where the files are not those that were locked.
    """
    authorise(by, Permission.DATASET_EXPORT, study=dataset.study)
    place = folder / f"{dataset.study.code.lower()}-{dataset.name}-v{dataset.version}"
    if place.exists():
        raise ExportRefused(_("%(place)s is already there; choose another folder.") % {"place": place})
    if faults := kept.faults(dataset):
        listed = ", ".join(sorted({fault.file for fault in faults}))
        raise ExportRefused(_("Not as it was locked: %(files)s. Restore the dataset first.") % {"files": listed})
    with audit.change(by=by):
        details = {"dataset": dataset.pk, "hash": dataset.hash, "files": len(dataset.manifest["files"])}
        audit.event(kind="dataset.export", study=dataset.study, details=details)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(storage.folder(dataset.folder), place)
    return place


def _guard(study: Study, name: str) -> StudyRules:
    if not NAME.fullmatch(name):
        raise LockRefused(_("Name the dataset with 1 to 60 letters, digits, hyphens or underscores."))
    in_force = rules.current(study)
    if in_force is None:
        raise LockRefused(_("The study has no endpoint rules yet; publish them with import_analysis."))
    return in_force


def _one_at_a_time(study: Study) -> None:
    """Nobody else locks this study, enrols in it, or begins or changes a record of it, until this transaction ends.

    An enrolment holds its site, a save its subject: with both held here, what was checked is what is frozen.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('analytics.lock'), %s)", [study.pk])
    held = (study.sites.all(), study.subjects.all(), Record.objects.filter(subject__study=study))
    for rows in held:
        list(rows.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk", flat=True))


def _guard_open_issues(study: Study, exceptions: Mapping[str, str]) -> None:
    open_kinds = readiness.readiness(study).counts
    unexplained = {kind: count for kind, count in open_kinds.items() if kind not in exceptions}
    if unexplained:
        listed = ", ".join(f"{readiness.KINDS[kind]} ({count})" for kind, count in sorted(unexplained.items()))
        raise LockRefused(_("Open: %(listed)s. Settle them, or say why the lock goes on.") % {"listed": listed})


def _lock_records(study: Study, name: str, by: User) -> None:
    unlocked = Record.objects.filter(subject__study=study).exclude(status=Record.Status.LOCKED)
    found = list(unlocked.select_related("subject__study"))
    if found:
        records.lock(records=found, reason=_("Dataset lock %(name)s") % {"name": name}, by=by)


def _next_version(study: Study, name: str, found: str) -> int:
    versions_of = Dataset.objects.filter(study=study, name=name)
    if (last := versions_of.order_by("-version").first()) and last.hash == found:
        raise LockRefused(_("Nothing has changed since %(dataset)s; use it.") % {"dataset": last})
    return (versions_of.aggregate(last=Max("version"))["last"] or 0) + 1


def _signed(
    study: Study,
    name: str,
    password: str,
    held: Content,
    written: dict[str, Any],
    in_force: StudyRules,
    exceptions: Mapping[str, str],
    by: User,
) -> Dataset:
    version = _next_version(study, name, written["hash"])
    signature = signatures.sign(
        study=study,
        password=password,
        meaning=MEANING,
        kind="dataset",
        object_id=f"{name} v{version}",
        digest=written["hash"],
        by=by,
    )
    return Dataset.objects.create(
        study=study,
        name=name,
        version=version,
        hash=written["hash"],
        manifest=written,
        folder=f"datasets/{study.code.lower()}/{written['hash'][:16]}-{uuid.uuid4().hex[:8]}",
        build=held.build,
        rules=in_force,
        exceptions=dict(exceptions),
        locked_by=by,
        signature=signature,
    )


def _write(
    folder: Path, study: Study, name: str, held: Content, in_force: StudyRules, exceptions: Mapping[str, str]
) -> dict[str, Any]:
    facts = {
        "study": study.code,
        "synthetic": study.synthetic,
        "build": {"version": held.build.version, "sha256": held.build.sha256},
        "counts": held.counts,
    }
    documents = {
        "study.json": held.build.definition,
        "endpoints.json": in_force.endpoints,
        "analysis.json": json.loads(in_force.analysis or "{}"),
    }
    origin = {"name": name, "exceptions": dict(exceptions), "software": versions()}
    return manifest.write(folder, held.tables, documents, facts, origin, held.links)


def _link_records(dataset: Dataset, held: Content) -> None:
    DatasetRecord.objects.bulk_create(
        [DatasetRecord(dataset=dataset, record_id=row[0], revision=row[1], digest=row[2]) for row in held.links.rows],
        batch_size=2000,
    )
