"""Export records: decide what each item becomes, write the files, keep them to be fetched for a while.

De-identified unless asked otherwise, allowed and signed; exactly what the person may see; every export is an event.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.utils import timezone
from django.utils.translation import gettext as _

from crf.definitions import canonical
from crf.definitions.model import StudyDefinition
from crf.exports import FORMAT
from crf.exports.layout import TableLayout, tables
from crf.exports.rules import Rule, Wanted
from crf.models import RecordExport, StudyBuild
from crf.selectors import export_rows
from crf.selectors.export_rows import Scope
from crf.services.export_files import FORMATS, Package, utc
from registry import audit, jobs
from registry.jobs import Progress
from registry.models import Signature, Study, User
from registry.permissions import Permission, authorise, rights
from registry.services import signatures

KIND = "records.export"
MEANING = "I take these records out of the system with what identifies or unblinds"
KEPT_DAYS = 7
ASIDE = "export-"  # how the folders begin in which exports are made
LONGEST = dt.timedelta(days=1)  # no export takes longer


class ExportRefused(ValueError):
    """The export can't be made as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Preview:
    """What an export would hold: its tables with the rule of each item, and how many subjects and records."""

    layouts: tuple[TableLayout, ...]
    sites: tuple[str, ...]
    subjects: int
    records: int

    def items(self, rule: Rule) -> list[Any]:
        """The questions to which `rule` applies."""
        return [question for layout in self.layouts for question in layout.questions if question.rule is rule]


def needed(wanted: Wanted) -> Permission:
    """What one must hold at each site of an export: identities and blinded items ask for more."""
    return Permission.RECORD_EXPORT_IDENTIFIED if is_signed(wanted) else Permission.RECORD_EXPORT


def is_signed(wanted: Wanted) -> bool:
    return wanted.identified or wanted.blinded


def preview(*, study: Study, wanted: Wanted, by: User) -> Preview:
    """What exporting would take out, and what would be left out or changed; nothing is written."""
    authorise(by, needed(wanted), study=study)
    _definitions, layouts = _laid_out(study, wanted)
    scope = _scope(study, wanted, by)
    return Preview(layouts, scope.sites, len(scope.subjects), export_rows.count(scope))


def export(
    *,
    study: Study,
    folder: Path,
    format: str,
    wanted: Wanted,
    password: str = "",
    progress: Progress | None = None,
    by: User,
) -> dict[str, Any]:
    """Write the export into `folder`, which must be new or empty; returns its manifest.

    What identifies or unblinds is signed with the person's password. Raises ExportRefused, WrongPassword.
    """
    authorise(by, needed(wanted), study=study)
    if folder.exists() and any(folder.iterdir()):
        raise ExportRefused(_("%(folder)s is not empty; choose another folder.") % {"folder": folder})
    _refuse_unknown(study, wanted, format, by)
    signature = _signed(study, wanted, format, password, by)
    folder.mkdir(parents=True, exist_ok=True)
    return _written(study, folder, format, wanted, signature, progress, by)


def start(*, study: Study, format: str, wanted: Wanted, password: str = "", by: User) -> RecordExport:
    """Have a worker make the export; its file then waits KEPT_DAYS to be fetched."""
    authorise(by, needed(wanted), study=study)
    _refuse_unknown(study, wanted, format, by)
    scope = _scope(study, wanted, by)
    with audit.change(by=by):
        job = jobs.create(kind=KIND, study=study, by=by)
        made = RecordExport.objects.create(
            study=study,
            job=job,
            requested_by=by,
            signature=_signed(study, wanted, format, password, by),
            format=format,
            wanted=asdict(wanted),
            sites=list(scope.sites),
            identified=wanted.identified,
            expires_at=timezone.now() + dt.timedelta(days=KEPT_DAYS),
        )
        jobs.enqueue("crf.tasks.export_records", job=job)
    return made


def run(*, made: RecordExport, progress: Progress, by: User) -> RecordExport:
    """Make the export that waits; one that is made already stays as it is."""
    wanted = _wanted(made.wanted)
    authorise(by, needed(wanted), study=made.study)
    if made.path:
        return made
    with _aside() as folder:
        inner = folder / f"{made.study.code.lower()}-records-{made.pk}"
        inner.mkdir()
        written = _written(made.study, inner, made.format, wanted, made.signature, progress, by)
        made.path = f"exports/{uuid.uuid4().hex}.zip"
        place = Path(default_storage.path(made.path))
        place.parent.mkdir(parents=True, exist_ok=True)
        _zip(inner, folder / "export.zip")
        (folder / "export.zip").rename(place)
    place.chmod(0o600)
    made.size, made.rows = place.stat().st_size, sum(table["rows"] for table in written["tables"].values())
    with place.open("rb") as file:
        made.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    made.save(update_fields=["path", "size", "rows", "sha256"])
    return made


def may_fetch(*, made: RecordExport, by: User) -> bool:
    """Whether `by` may export all that the file holds, at each of its sites."""
    try:
        authorise(by, needed(_wanted(made.wanted)), study=made.study)
        _authorise_sites(made, by)
    except PermissionDenied:
        return False
    return True


def _authorise_sites(made: RecordExport, by: User) -> None:
    for site in made.study.sites.filter(code__in=made.sites):
        authorise(by, needed(_wanted(made.wanted)), site=site)


def fetch(*, made: RecordExport, by: User) -> Path:
    """The file of an export, for whoever may export what it holds; that it was taken is an event."""
    authorise(by, needed(_wanted(made.wanted)), study=made.study)
    _authorise_sites(made, by)
    if not made.is_ready:
        raise ExportRefused(_("The file is no longer kept; make the export again."))
    with audit.change(by=by):
        details = {"export": made.pk, "sha256": made.sha256, "identified": made.identified}
        audit.event(kind="records.fetch", study=made.study, details=details)
    return Path(default_storage.path(made.path))


def discard(*, by: User) -> int:
    """Remove the files that were kept long enough; how many. What a worker that was killed left behind goes too."""
    authorise(by, Permission.AUDIT_SEAL)
    oldest = timezone.now() - LONGEST
    for left in Path(default_storage.path("incoming")).glob(f"{ASIDE}*"):
        if left.stat().st_mtime < oldest.timestamp():
            shutil.rmtree(left, ignore_errors=True)
    gone = 0
    for made in RecordExport.objects.filter(expires_at__lte=timezone.now()).exclude(path=""):
        Path(default_storage.path(made.path)).unlink(missing_ok=True)
        made.path = ""
        made.save(update_fields=["path"])
        gone += 1
    return gone


def _laid_out(study: Study, wanted: Wanted) -> tuple[list[StudyDefinition], tuple[TableLayout, ...]]:
    definitions = export_rows.definitions(study)
    return definitions, tables(definitions, wanted)


def _scope(study: Study, wanted: Wanted, by: User) -> Scope:
    return export_rows.scope(study, wanted, needs=needed(wanted), by=by)


def _written(
    study: Study,
    folder: Path,
    format: str,
    wanted: Wanted,
    signature: Signature | None,
    progress: Progress | None,
    by: User,
) -> dict[str, Any]:
    """The files, read as of one moment, and the event that they were made."""
    with export_rows.one_moment() as source:
        definitions, layouts = _laid_out(study, wanted)
        scope = _scope(study, wanted, by)
        origin = _origin(study, definitions, signature, by)
        shown = Progress(None) if progress is None else progress
        package = Package(folder, format, wanted, scope, definitions, layouts, origin, shown, source)
        written = package.write()
    with audit.change(by=by):
        details = {
            "format": FORMAT,
            "files": format,
            "identified": wanted.identified,
            "blinded": wanted.blinded,
            "forms": list(wanted.forms),
            "sites": list(scope.sites),
            "subjects": len(scope.subjects),
            "rows": sum(package.rows.values()),
            "manifest": hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest(),
        }
        audit.event(kind=KIND, study=study, details=details)
    return written


def _origin(study: Study, definitions: list[StudyDefinition], signature: Signature | None, by: User) -> dict[str, Any]:
    known = dict(StudyBuild.objects.filter(study=study).values_list("version", "sha256"))
    return {
        "study": study.code,
        "synthetic": study.synthetic,
        "builds": [{"version": one.version, "sha256": known.get(one.version, "")} for one in definitions],
        "made_at": utc(timezone.now()),
        "made_by": by.username,
        "signature": signature.pk if signature else None,
    }


def _signed(study: Study, wanted: Wanted, format: str, password: str, by: User) -> Signature | None:
    """The signature under what is asked for, where it identifies or unblinds."""
    if not is_signed(wanted):
        return None
    asked = canonical({"study": study.code, "format": format, **asdict(wanted)})
    digest = hashlib.sha256(asked.encode()).hexdigest()
    return signatures.sign(
        study=study, password=password, meaning=MEANING, kind=KIND, object_id=study.code, digest=digest, by=by
    )


def _wanted(stored: dict[str, Any]) -> Wanted:
    return Wanted(**{name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()})


def _refuse_unknown(study: Study, wanted: Wanted, format: str, by: User) -> None:
    """Name what is asked for and is not there; a site out of the person's reach is not there."""
    definitions = export_rows.definitions(study)
    forms = {form.oid for one in definitions for form in one.forms}
    items = {f"{form.oid}.{name}" for one in definitions for form in one.forms for name in form.questions}
    events = {event.oid for one in definitions for event in one.events}
    sites = {site.code for site in study.sites.all() if needed(wanted) in rights(by, site=site)}
    asked = [
        (_("form"), wanted.forms, forms),
        (_("event"), wanted.events, events),
        (_("site"), wanted.sites, sites),
        (_("item"), wanted.keep_text, items),
        (_("format"), (format,), set(FORMATS)),
    ]
    for what, names, known in asked:
        if unknown := [name for name in names if name not in known]:
            told = {"what": what, "unknown": ", ".join(unknown), "known": ", ".join(sorted(known)[:40])}
            raise ExportRefused(_("There is no %(what)s %(unknown)s for this export; choose from: %(known)s.") % told)


@contextlib.contextmanager
def _aside() -> Iterator[Path]:
    """A folder on the storage's own disk that is gone afterwards."""
    folder = Path(default_storage.path(f"incoming/{ASIDE}{uuid.uuid4().hex}"))
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _zip(folder: Path, place: Path) -> None:
    """All files under the folder's name, without the time at which they were written."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
