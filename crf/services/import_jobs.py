"""An uploaded file from its columns to its records: map, preview, commit in the background, stop, send back what was
refused. Nothing clinical is written before the commit, and each step can be taken again."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter, defaultdict
from typing import Any

from django.db import connection, connections, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from crf.definitions.incoming import Problem
from crf.definitions.mapping import Mapping, layout
from crf.definitions.tables import BadTable
from crf.definitions.workbooks import sheet_names
from crf.models import Import, ImportLine, ImportMapping
from crf.services import import_files, imports
from crf.services.import_plan import Batch, Plan
from crf.services.import_source import Source, format_of, is_xml, open_source, sent_rows
from registry import audit, jobs
from registry.models import Job, Study, User
from registry.permissions import Permission, authorise

KIND = "records.import"
AT_ONCE_BYTES = 300_000  # previewed while the page waits
SAMPLES = 5
LONGEST_NAME = 25  # of a hospital number in a preview, so that it fits when sealed
KEPT_FOR = dt.timedelta(days=14)
MOST_VALUES = 1_000  # new records of a preview that show their values
State = Import.State


class FileRefused(ValueError):
    """The file cannot be read at all; `problem` says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.en)
        self.problem = problem


class NotNow(ValueError):
    """The import is under way or over; the message says which."""


class _Stopped(Exception):
    """Somebody pressed stop."""


def upload(*, study: Study, file_name: str, content: bytes, format: str = "", by: User) -> Import:
    """Keep the file, sealed, for its sender. Raises FileRefused for what is no table and no data file."""
    authorise(by, Permission.RECORD_IMPORT, study=study)
    format = format or format_of(content)
    source, sheets = _opened(content, format)
    with audit.change(by=by):
        return Import.objects.create(
            study=study,
            by=by,
            file_name=file_name[-200:],
            key=import_files.put(content),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            format=format,
            encoding=source.encoding,
            sheet=sheets[0] if sheets else "",
            sheets=sheets,
            columns=list(source.columns),
            samples=_samples(source),
        )


def _opened(content: bytes, format: str, sheet: str = "") -> tuple[Source, list[str]]:
    sheets: list[str] = []
    source = open_source(content, format=format, sheet=sheet)
    if source.refusal:
        raise FileRefused(source.refusal)
    if format == "xlsx":
        try:
            sheets = sheet_names(content)
        except BadTable as fault:
            raise FileRefused(Problem(0, "", fault.zh, fault.en, fault.remedy_zh, fault.remedy_en)) from fault
    return source, sheets


def _samples(source: Source) -> list[list[str]]:
    """A few different cells of each column, sealed: one column may hold names."""
    rows = [row.texts for row in source.table.rows[:200]] if source.table else []
    return [
        [import_files.seal(cell[:60]) for cell in list(dict.fromkeys(row[at] for row in rows if row[at]))[:SAMPLES]]
        for at in range(len(source.columns))
    ]


def samples(upload: Import) -> list[list[str]]:
    """A few different cells of each column, as they are in the file."""
    return [[import_files.unseal(cell) for cell in cells] for cells in upload.samples]


def choose_sheet(*, upload: Import, sheet: str, by: User) -> Import:
    """Read another sheet of the workbook; the mapping starts anew."""
    _authorise(upload, by)
    source, _sheets = _opened(import_files.get(upload.key), upload.format, sheet)
    upload.sheet, upload.columns, upload.samples = sheet, list(source.columns), _samples(source)
    upload.mapping, upload.state = None, State.UPLOADED
    upload.save()
    return upload


def remembered(upload: Import) -> list[ImportMapping]:
    """The study's mappings for files of this layout, the last changed first."""
    found = ImportMapping.objects.filter(study=upload.study, layout=_layout(upload))
    return sorted(found, key=lambda one: -one.pk)


def _layout(upload: Import) -> str:
    """Files without columns are alike when they are of one format."""
    return layout(tuple(upload.columns) or (upload.format,))


def assign(*, upload: Import, mapping: Mapping, name: str = "", by: User) -> Import:
    """Set how the columns are read; under a name it is remembered for the study's files of this layout."""
    _authorise(upload, by)
    upload.mapping = mapping.model_dump(mode="json", exclude_defaults=True)
    upload.state = State.MAPPED
    with audit.change(by=by):
        if name.strip():
            _remember(upload, name.strip()[:100])
        upload.save()
    return upload


def _remember(upload: Import, name: str) -> None:
    kept = ImportMapping.objects.filter(study=upload.study, name=name).first()
    kept = kept or ImportMapping(study=upload.study, name=name)
    wanted = (_layout(upload), upload.columns, upload.mapping)
    if (kept.layout, kept.columns, kept.mapping) != wanted:
        kept.layout, kept.columns, kept.mapping = wanted
        kept.save()


def preview(*, upload: Import, by: User) -> Import:
    """Work out what the import would do: at once where the file is small, else in the background."""
    _authorise(upload, by)
    with audit.change(by=by):
        upload.job = jobs.create(kind="records.preview", study=upload.study, by=by)
        upload.save()
        if upload.size > AT_ONCE_BYTES:
            jobs.enqueue("crf.tasks.preview_import", job=upload.job, import_id=upload.pk)
            return upload
    return run_preview(upload=upload, progress=jobs.Progress(upload.job), by=by)


def run_preview(*, upload: Import, progress: jobs.Progress, by: User) -> Import:
    """The preview's lines and numbers, in place of those of an earlier one; stopped, it leaves the earlier one."""
    authorise(by, Permission.RECORD_IMPORT, study=upload.study)
    if upload.state in (State.RUNNING, State.DONE) or (upload.job and upload.job.state == Job.State.CANCELLED):
        return upload
    content = import_files.get(upload.key)
    progress.start(max(1, content.count(b"\n")))
    lines, aside = _Lines(upload), _Aside(progress.job)
    try:
        with audit.request(source="import"), transaction.atomic():
            ImportLine.objects.filter(upload=upload).delete()

            def each(number: int, batch: Batch) -> None:
                lines.add(batch)
                if aside.is_stopped(batch.rows):
                    raise _Stopped

            plan = imports.preview(**_asked(upload, content), each=each, by=by)
            _note(upload, plan, lines.refused)
            upload.state = State.PREVIEWED
            upload.save()
    except _Stopped:
        return upload
    finally:
        aside.close()
    progress.finish({"rows": plan.counts["rows"], "refused": plan.counts["refused"]})
    return upload


def _asked(upload: Import, content: bytes) -> dict[str, Any]:
    mapping = None if upload.mapping is None else Mapping.model_validate(upload.mapping)
    return {
        "study": upload.study,
        "content": content,
        "mapping": mapping,
        "format": upload.format,
        "sheet": upload.sheet,
    }


def _note(upload: Import, plan: Plan, refused: set[int]) -> None:
    upload.counts, upload.prints, upload.needs_reason = plan.counts, plan.prints, plan.needs_reason
    upload.refused_rows = sorted(refused)
    upload.parts_done = -1


def start(*, upload: Import, mode: str, reason: str, by: User) -> Import:
    """Commit what the preview showed, in the background. Raises NotNow, ReasonMissing."""
    _authorise(upload, by)
    if upload.state != State.PREVIEWED:
        raise NotNow(_("Preview the import first."))
    if upload.needs_reason and not reason.strip():
        raise imports.ReasonMissing(Plan())
    if mode == imports.ALL and upload.counts.get("refused"):
        raise NotNow(_("Rows are refused: correct the file, or import only the good rows."))
    with audit.change(by=by):
        if Import.objects.select_for_update().get(pk=upload.pk).state != State.PREVIEWED:  # pressed twice
            raise NotNow(_("This import is under way or over."))
        upload.mode, upload.reason, upload.state = Import.Mode(mode), reason.strip()[:1000], State.RUNNING
        upload.job = jobs.create(kind=KIND, study=upload.study, by=by, total=upload.counts["rows"])
        upload.save()
        jobs.enqueue("crf.tasks.import_records", job=upload.job, import_id=upload.pk)
    return upload


def run(*, upload: Import, progress: jobs.Progress, by: User) -> Import:
    """Carry an import out. Sent twice, or ended in the middle, it goes on: nothing is written twice.

    All or nothing: the records and the import's new state are one transaction. Only good rows: each part of the file
    is one, with the number of the part.
    """
    authorise(by, Permission.RECORD_IMPORT, study=upload.study)
    if upload.state != State.RUNNING:
        return upload
    if upload.job and upload.job.state == Job.State.CANCELLED:  # stopped while it waited
        return _ended(upload, State.STOPPED, _("The import was stopped."))
    progress.start(upload.counts["rows"])
    aside = _Aside(progress.job)
    try:
        plan = _run_all(upload, aside, by) if upload.mode == imports.ALL else _run_good(upload, aside, by)
    except _Stopped:
        return _ended(upload, State.STOPPED, _("The import was stopped."))
    except (imports.PreviewOutdated, imports.ImportRefused):  # its words quote cells, and jobs are seen by many
        return _ended(upload, State.FAILED, _("The study changed since the preview; look at it again."))
    except Exception:
        _ended(upload, State.FAILED, "")
        raise
    finally:
        aside.close()
    progress.finish({name: value for name, value in plan.counts.items() if value})
    return upload


def _run_all(upload: Import, aside: _Aside, by: User) -> Plan:
    with audit.request(source="import"), audit.change(by=by, reason=upload.reason, source="import"):
        if Import.objects.select_for_update().get(pk=upload.pk).state != State.RUNNING:
            raise _Stopped
        plan = _commit(upload, aside, by)
        _done(upload, plan)
    return plan


def _run_good(upload: Import, aside: _Aside, by: User) -> Plan:
    def written(number: int) -> None:
        Import.objects.filter(pk=upload.pk, parts_done__lt=number).update(parts_done=number)

    went_on = upload.parts_done >= 0
    plan = _commit(upload, aside, by, written)
    if went_on:  # the parts that were written before are as previewed too
        plan.totals = Counter(upload.counts)
    _done(upload, plan)
    return plan


def _commit(upload: Import, aside: _Aside, by: User, written: Any = None) -> Plan:
    def each(number: int, batch: Batch) -> None:
        if written:
            written(number)
        if aside.is_stopped(batch.rows):
            raise _Stopped

    content = import_files.get(upload.key)
    return imports.commit(
        **_asked(upload, content),
        mode=upload.mode,
        reason=upload.reason,
        file_name=upload.file_name,
        fingerprint=hashlib.sha256("".join(upload.prints).encode()).hexdigest(),
        prints=upload.prints,
        after=upload.parts_done,
        each=each,
        by=by,
    )


def _done(upload: Import, plan: Plan) -> None:
    upload.result, upload.state = plan.counts, State.DONE
    upload.save()


def _ended(upload: Import, state: str, message: str) -> Import:
    """What is left of an import that did not come to its end; it can be previewed and started again.

    One that another worker brought to its end meanwhile stays as that one left it.
    """
    upload.refresh_from_db()
    if upload.state != State.RUNNING:
        return upload
    upload.state = state
    upload.result = {"message": message}
    upload.save()
    if upload.job:
        over = Job.State.CANCELLED if state == State.STOPPED else Job.State.FAILED
        fields = {"state": over, "finished_at": timezone.now()}
        fields |= {"message": message[:300]} if state == State.STOPPED else {"error": message}
        Job.objects.filter(pk=upload.job_id).update(**fields)
        upload.job.refresh_from_db()
    return upload


def stop(*, upload: Import, by: User) -> Import:
    """Ask the work under way to end: after the part in hand, and without it where all or nothing was chosen."""
    _authorise(upload, by, is_over=State.DONE)
    job = upload.job
    if job and not job.is_over:
        jobs.cancel(job)
    if job and job.state == Job.State.FAILED:  # nobody carries it out any more
        return _ended(upload, State.FAILED, job.error)
    if job and job.state == Job.State.CANCELLED and job.started_at is None:
        return _ended(upload, State.STOPPED, _("The import was stopped."))
    return upload


def discard(*, upload: Import, by: User) -> None:
    """Forget the file, its preview and its mapping; the records that came of it stay."""
    _authorise(upload, by, is_over=State.RUNNING)
    import_files.delete(upload.key)
    upload.delete()


def discard_old(*, by: User) -> int:
    """Forget files that nobody touched for two weeks; how many."""
    authorise(by, Permission.AUDIT_SEAL)
    old = Import.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).exclude(state=State.RUNNING)
    for upload in old:
        import_files.delete(upload.key)
        upload.delete()
    return len(old)


def refused(*, upload: Import, format: str, language: str, by: User) -> bytes:
    """The refused rows as they were sent, each with what is wrong with it: corrected, it can be sent again.

    As `xml`, the subjects of an XML file about whom something is refused. Raises Gone where there is none.
    """
    _authorise(upload, by, is_over="")
    if format == "xml":
        return _refused_xml(upload)
    told: dict[int, list[str]] = defaultdict(list)
    places: list[list[str]] = []
    for line in upload.lines.filter(kind=ImportLine.Kind.REFUSED):
        zh = language.startswith("zh")
        said = import_files.unseal(line.zh if zh else line.en)
        problem = f"{said};{line.remedy_zh}" if zh else f"{said}; {line.remedy_en}"
        told[line.row].append(f"{line.column}: {problem}" if line.column else problem)
        places.append([str(line.row), line.column, problem])
    table = sent_rows(import_files.get(upload.key), format=upload.format, sheet=upload.sheet)
    write = import_files.refused_as_xlsx if format == "xlsx" else import_files.refused_as_csv
    if table is None:
        return write([import_files.ROW_COLUMN, "column", import_files.PROBLEM_COLUMN], places)
    problems = {row: " | ".join(told.get(row, [])) for row in upload.refused_rows}
    return write(*import_files.refused_rows(table, problems))


def _refused_xml(upload: Import) -> bytes:
    content = import_files.get(upload.key)
    if not is_xml(content):
        raise import_files.Gone(upload.key)
    return import_files.refused_as_xml(content, upload.refused_rows)


def _authorise(upload: Import, by: User, is_over: str | None = None) -> None:
    """Only its sender acts on an import, with the right in force now, and not while it runs or when it is over."""
    authorise(by, Permission.RECORD_IMPORT, study=upload.study)
    if upload.by_id != by.pk:
        raise NotNow(_("This import belongs to somebody else."))
    if upload.state == is_over or (is_over is None and not upload.is_open):
        raise NotNow(_("This import is under way or over."))


class _Lines:
    """Writes the lines of a preview, part by part."""

    FIELDS = ("upload_id", "kind", "row", "column", "subject", "event", "repeat", "form", "number", "values")
    TEXTS = ("zh", "en", "remedy_zh", "remedy_en")

    def __init__(self, upload: Import) -> None:
        self.upload = upload
        self.shown = 0
        self.refused: set[int] = set()

    def add(self, batch: Batch) -> None:
        self.refused |= batch.refused
        columns = ", ".join(f'"{name}"' for name in (*self.FIELDS, *self.TEXTS))
        with connection.cursor() as cursor:
            statement = f"COPY {ImportLine._meta.db_table} ({columns}) FROM STDIN"
            with cursor.copy(statement) as copy:
                for row in self.rows(batch):
                    copy.write_row(row)

    def rows(self, batch: Batch) -> Any:
        for one in batch.problems:
            place = (self.upload.pk, "refused", one.row, one.column[:200], "", "", 1, "", 1, "[]")
            yield (*place, import_files.seal(one.zh), import_files.seal(one.en), one.remedy_zh, one.remedy_en)
        for visit in batch.visits:
            values = json.dumps([["", str(visit.old) if visit.old else None, str(visit.new)]])
            yield (*self.place("changed", visit), values, "", "", "", "")
        for planned in batch.records:
            values = []
            if planned.kind == "changed" or (planned.kind == "new" and self.shown < MOST_VALUES):
                self.shown += planned.kind == "new"
                values = [[change.item, change.old, change.new] for change in planned.changes]
            yield (*self.place(planned.kind, planned), json.dumps(values), "", "", "", "")

    def place(self, kind: str, planned: Any) -> tuple[Any, ...]:
        key = planned.incoming.key
        is_new = planned.subject._state.adding
        subject = import_files.seal(key.subject[:LONGEST_NAME]) if is_new else planned.subject.number
        place = (subject[:200], key.event, key.repeat, key.form, key.number)
        return (self.upload.pk, kind, planned.incoming.row, "", *place)


class _Aside:
    """Tells how far the import is, and hears the stop button, on a connection of its own: the import's own
    transaction shows nobody anything before it ends."""

    def __init__(self, job: Job | None) -> None:
        self.job = job
        self.done = 0
        self.connection: Any = connections["default"].copy()

    def is_stopped(self, rows: int) -> bool:
        self.done += rows
        if self.job is None:
            return False
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {Job._meta.db_table} SET done = %s WHERE id = %s AND state = %s",  # noqa: S608
                [self.done, self.job.pk, Job.State.RUNNING],
            )
            cursor.execute(f"SELECT state FROM {Job._meta.db_table} WHERE id = %s", [self.job.pk])  # noqa: S608
            found = cursor.fetchone()
        return found is not None and found[0] == Job.State.CANCELLED

    def close(self) -> None:
        self.connection.close()
