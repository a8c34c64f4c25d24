"""Ask, answer, close and reopen queries; open and close by themselves those that checks and rules call for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext as _

from crf.definitions.check import Finding, FormState, evaluate
from crf.definitions.model import NotInDefinition, StudyDefinition
from crf.definitions.rows import value_at
from crf.models import Query, QueryMessage, QueryView, Record, SdvPlan, definition_of_build, public_id
from crf.selectors import context_for, definition_of, subject_records
from crf.selectors.builds import definitions_in_force
from crf.selectors.queries import ASSIGNEES, Place, records_at, shown_value
from crf.services.words import why_not
from registry import audit
from registry.models import Study, Subject, User, Visit
from registry.permissions import Permission, Role, authorise, rights

Act = QueryMessage.Act
Status = Query.Status
MAX_WORDS = 4000
BATCH = 500
MISSING = "missing"

# What each step needs, from where it may be taken, where it leads (None: it stays), and when it needs words.
NEEDS = {
    Act.ANSWER: Permission.QUERY_ANSWER,
    Act.CLOSE: Permission.QUERY_CLOSE,
    Act.REOPEN: Permission.QUERY_CLOSE,
    Act.ASSIGN: Permission.QUERY_RAISE,
}
BEFORE = {
    Act.ANSWER: (Status.OPEN,),
    Act.CLOSE: (Status.OPEN, Status.ANSWERED),
    Act.REOPEN: (Status.ANSWERED, Status.CLOSED),
    Act.ASSIGN: (Status.OPEN, Status.ANSWERED),
    Act.COMMENT: (Status.OPEN, Status.ANSWERED, Status.CLOSED),
}
AFTER = {Act.ANSWER: Status.ANSWERED, Act.CLOSE: Status.CLOSED, Act.REOPEN: Status.OPEN}


class QueryRefused(ValueError):
    """The query can't be asked, or the step can't be taken; the message says why."""


@dataclass(frozen=True)
class Found:
    """One thing that calls for a query: where, on which value and revision, and the question in both languages."""

    subject_id: int
    visit_id: int
    form: str
    zh: str
    en: str
    repeat: int = 1
    item: str = ""
    value: Any = None
    revision: int | None = None


@dataclass(frozen=True)
class Report:
    """What a step did to many queries: the keys of those it was taken on, and why not on others, by public id."""

    done: list[int]
    refused: dict[str, str]


# People


def raise_query(
    *,
    subject: Subject,
    visit: Visit,
    form: str,
    text: str,
    repeat: int = 1,
    item: str = "",
    priority: int = Query.Priority.NORMAL,
    assignee: str = Role.COORDINATOR,
    by: User,
) -> Query:
    """Ask about a value (`item` is its path), a form, or a form that is missing; a locked record can be asked about.

    Raises QueryRefused for a place the study does not have, or without words.
    """
    authorise(by, Permission.QUERY_RAISE, subject=subject)
    held = records_at([(visit.pk, form, repeat)]).get((visit.pk, form, repeat))
    definition = definition_of_build(held["build_id"]) if held else definition_of(subject.study, subject.site)
    _refuse_place(definition, visit, form, repeat, item, is_entered=held is not None)
    row = {
        "subject_id": subject.pk,
        "visit_id": visit.pk,
        "form": form,
        "repeat": repeat,
        "item": item,
        "value": value_at(held["data"], item) if held and item else None,
        "revision": held["revision"] if held else None,
        "text": _words(text, needed=True),
        "text_en": "",
        "cause": "",
        "priority": _priority(priority),
        "assignee": _assignee(assignee),
    }
    with audit.change(by=by):
        [key] = Query.objects.open_new([row], study_id=subject.study_id, origin=Query.Origin.MANUAL)
    return Query.objects.get(pk=key)


def answer(*, query: Query, text: str, by: User) -> Query:
    """Answer an open query; the data may have been changed before, or stand."""
    authorise(by, Permission.QUERY_ANSWER, subject=query.subject)
    return _one(query, Act.ANSWER, _words(text, needed=True), by)


def close(*, query: Query, text: str = "", by: User) -> Query:
    """Settle a query; one that nobody answered is closed only with words."""
    authorise(by, Permission.QUERY_CLOSE, subject=query.subject)
    return _one(query, Act.CLOSE, _words(text, needed=query.status == Status.OPEN), by)


def reopen(*, query: Query, text: str, by: User) -> Query:
    """Ask again, because the answer does not settle it or the closing was wrong."""
    authorise(by, Permission.QUERY_CLOSE, subject=query.subject)
    return _one(query, Act.REOPEN, _words(text, needed=True), by)


def comment(*, query: Query, text: str, by: User) -> Query:
    """Add words to the thread; the state stays."""
    authorise(by, _right_to_speak(query.subject, by), subject=query.subject)
    return _one(query, Act.COMMENT, _words(text, needed=True), by)


def assign(*, query: Query, assignee: str = "", priority: int | None = None, text: str = "", by: User) -> Query:
    """Give a query that is not closed to another role, or another priority."""
    authorise(by, Permission.QUERY_RAISE, subject=query.subject)
    return _one(query, Act.ASSIGN, _words(text), by, **_set_to(Act.ASSIGN, assignee, priority, text))


def act_on_many(
    *,
    study: Study,
    act: str,
    keys: Iterable[int],
    text: str = "",
    assignee: str = "",
    priority: int | None = None,
    by: User,
) -> Report:
    """Take one step (answer, close, reopen, assign) on many queries; those it can't be taken on are told, with why."""
    authorise(by, NEEDS[Act(act)], study=study)
    wanted = set(keys)
    words = _words(text, needed=act in (Act.ANSWER, Act.REOPEN))
    set_to = _set_to(act, assignee, priority, words)
    visible = Query.objects.visible_to(by, needs=NEEDS[Act(act)]).filter(study=study, pk__in=wanted)
    queries = {query.pk: query for query in visible.order_by("pk")}
    refused = {public_id(key): _("There is no such query at your sites.") for key in sorted(wanted - queries.keys())}
    ready = []
    for query in queries.values():
        if query.status not in BEFORE[Act(act)]:
            refused[query.public_id] = _not_now(query)
        elif act == Act.CLOSE and query.status == Status.OPEN and not words:
            refused[query.public_id] = _("Nobody answered it: say why it is closed.")
        else:
            ready.append(query)
    with audit.change(by=by):
        done = _step(ready, act, words, study.pk, **set_to)
    meanwhile = {query.public_id: _("Somebody else acted on it meanwhile.") for query in ready if query.pk not in done}
    return Report(done, refused | meanwhile)


# What a person may do with one query, by name.
STEPS = {"answer": answer, "close": close, "reopen": reopen, "comment": comment, "assign": assign}


def keep_view(*, study: Study, name: str, filters: str, is_shared: bool = False, by: User) -> QueryView:
    """Keep filters of the list under a name; the person's own view of that name is replaced."""
    authorise(by, Permission.RECORD_VIEW, study=study)
    name = _words(name, needed=True)
    if len(name) > QueryView._meta.get_field("name").max_length:
        raise QueryRefused(_("The name is too long."))
    given = {"filters": filters, "is_shared": is_shared}
    with audit.change(by=by):
        view, _is_new = QueryView.objects.update_or_create(study=study, owner=by, name=name, defaults=given)
    return view


def drop_view(*, view: QueryView, by: User) -> None:
    """Forget one's own view."""
    authorise(by, Permission.RECORD_VIEW, study=view.study)
    if view.owner_id != by.pk:
        raise PermissionDenied
    with audit.change(by=by):
        view.delete()


def _one(query: Query, act: str, text: str, by: User, **set_to: Any) -> Query:
    with audit.change(by=by):
        done = _step([query], act, text, query.study_id, **set_to)
    now = Query.objects.select_related("subject__site", "visit").get(pk=query.pk)
    if not done:
        raise QueryRefused(_not_now(now))
    return now


def _step(queries: Sequence[Query], act: str, text: str, study_id: int, **set_to: Any) -> list[int]:
    held = records_at(_place(query) for query in queries)
    rows = [_row(query, text, text_en="", held=held.get(_place(query))) for query in queries]
    status = AFTER.get(Act(act))
    return Query.objects.step(act, rows, study_id=study_id, before=BEFORE[Act(act)], status=status, **set_to)


def _row(query: Query, text: str, *, text_en: str, held: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "id": query.pk,
        "text": text,
        "text_en": text_en,
        "value": value_at(held["data"], query.item) if held and query.item else None,
        "revision": held["revision"] if held else None,
    }


def _place(query: Query) -> Place:
    return query.visit_id, query.form, query.repeat


def _not_now(query: Query) -> str:
    return _("%(query)s is %(status)s; look at it again.") % {
        "query": query.public_id,
        "status": query.get_status_display(),
    }


def _right_to_speak(subject: Subject, by: User) -> Permission:
    """Whoever takes part in queries may speak: the right of theirs that lets them, or the one they would need."""
    held = rights(by, site=subject.site)
    needed = (Permission.QUERY_RAISE, Permission.QUERY_ANSWER, Permission.QUERY_CLOSE)
    return next((one for one in needed if one in held), Permission.QUERY_RAISE)


def _words(text: str, *, needed: bool = False) -> str:
    text = text.strip()
    if needed and not text:
        raise QueryRefused(_("Say it in words: the text is empty."))
    if problem := why_not(text, most=MAX_WORDS):
        raise QueryRefused(problem)
    return text


def _set_to(act: str, assignee: str, priority: int | None, text: str) -> dict[str, Any]:
    if act == Act.ASSIGN and not (assignee or priority or text.strip()):
        raise QueryRefused(_("Choose a role or a priority."))
    return {"assignee": _assignee(assignee) if assignee else None, "priority": _priority(priority)}


def _priority(priority: int | None) -> int | None:
    if priority is not None and priority not in Query.Priority.values:
        raise QueryRefused(_("There is no such priority."))
    return priority


def _assignee(role: str) -> str:
    if role not in ASSIGNEES:
        raise QueryRefused(_("A query is for a role that can answer it: %(roles)s.") % {"roles": ", ".join(ASSIGNEES)})
    return role


def _refuse_place(
    definition: StudyDefinition, visit: Visit, form: str, repeat: int, item: str, *, is_entered: bool
) -> None:
    try:
        if form not in definition.event(visit.event).forms:
            raise QueryRefused(_("The form %(form)s is not part of this visit.") % {"form": form})
        the_form = definition.form(form)
        if not the_form.may_be_number(repeat):
            raise QueryRefused(_("The form %(form)s has no number %(number)s.") % {"form": form, "number": repeat})
        if item:
            the_form.item(item)
    except NotInDefinition as problem:
        raise QueryRefused(_("The form has no such item.")) from problem
    if item and not is_entered:
        raise QueryRefused(_("Nothing was saved here yet: ask about the form, not about a value."))


# Checks: what a save finds


def after_save(*, record: Record, state: FormState, watched: bool = True, by: User) -> None:
    """Bring the automatic queries of a record that was just saved up to date; see `after_saves`.

    `watched` is false where the caller knows that no query of the subject is open (`selectors.subject_records`).
    """
    authorise(by, Permission.RECORD_ENTER, subject=record.subject)
    if watched or any(_calls_for_query(record, finding) for finding in state.findings):
        _settle_saved([(record, state)], by)


def after_saves(*, saved: Sequence[tuple[Record, FormState]], by: User) -> None:
    """The same for records saved together, in a bounded number of statements.

    A finding that queries opens one, closed by the system when the cause is gone and reopened when it returns; what a
    person closed stays closed until the value changes. A comment that lets the finding stand is its answer, and so is
    a value changed with the reason "in answer to a query".
    """
    for subject in {record.subject_id: record.subject for record, _state in saved}.values():
        authorise(by, Permission.RECORD_ENTER, subject=subject)
    if saved:
        _settle_saved(saved, by)


def _calls_for_query(record: Record, finding: Finding) -> bool:
    """A check that says so, or any soft finding where the study says so; an empty required item asks by itself."""
    if finding.check == "required":
        return False
    definition = record.study_definition
    if finding.severity == "soft" and definition.capture.soft_to_query:
        return True
    return any(check.query and check.id == finding.check for check in definition.form(record.form).checks)


Key = tuple[int, str, int, str, str]  # visit, form, repeat, item, cause


def _settle_saved(saved: Sequence[tuple[Record, FormState]], by: User) -> None:
    records = {(record.visit_id, record.form, record.repeat): record for record, _state in saved}
    wanted = dict(_found_in(saved))
    visits, forms = {visit for visit, _f, _r in records}, {form for _v, form, _r in records}
    existing = [
        query
        for query in Query.objects.filter(visit__in=visits, form__in=forms).order_by("pk")
        if _place(query) in records
    ]
    automatic = [query for query in existing if query.cause == MISSING or query.cause.startswith("check:")]
    study_id = saved[0][0].subject.study_id
    with audit.change(by=by):
        opened = _settle(automatic, wanted, study_id, Query.Origin.CHECK)
        settled = {query.pk for query in automatic if _key(query) not in wanted}
        _answer_by_comment(records, existing, opened, settled, study_id, by)
        _answer_by_change(records, [query for query in existing if query.pk not in settled], study_id, by)


def _found_in(saved: Sequence[tuple[Record, FormState]]) -> Iterator[tuple[Key, Found]]:
    for record, state in saved:
        for finding in state.findings:
            if _calls_for_query(record, finding):
                key = (record.visit_id, record.form, record.repeat, finding.item, f"check:{finding.check}")
                yield key, _as_found(record, finding)


def _as_found(record: Record, finding: Finding) -> Found:
    value = value_at(record.data, finding.item) if finding.item else None
    return Found(
        subject_id=record.subject_id,
        visit_id=record.visit_id,
        form=record.form,
        repeat=record.repeat,
        item=finding.item,
        value=value,
        revision=record.revision,
        zh=finding.message.zh,
        en=finding.message.en,
    )


def _key(query: Query) -> Key:
    return query.visit_id, query.form, query.repeat, query.item, query.cause


def _settle(existing: Sequence[Query], wanted: Mapping[Key, Found], study_id: int, origin: str) -> list[int]:
    """Open what is new, reopen what returned, close what is gone; the keys of those opened or reopened."""
    known = {_key(query): query for query in existing}
    new = [_as_new(key, found) for key, found in wanted.items() if key not in known]
    opened = Query.objects.open_new(new, study_id=study_id, origin=origin)
    back = [(query, wanted[_key(query)]) for query in existing if _returns(query, wanted.get(_key(query)))]
    rows = [
        {"id": query.pk, "text": found.zh, "text_en": found.en, "value": found.value, "revision": found.revision}
        for query, found in back
    ]
    opened += _by_system(Act.REOPEN, rows, study_id)
    gone = [query for query in existing if _key(query) not in wanted and query.status != Status.CLOSED]
    if gone:
        held = records_at(_place(query) for query in gone)
        _by_system(Act.CLOSE, [_gone(query, held.get(_place(query))) for query in gone], study_id)
    return opened


def _by_system(act: str, rows: Sequence[dict[str, Any]], study_id: int) -> list[int]:
    before = BEFORE[Act(act)]
    return Query.objects.step(act, rows, study_id=study_id, before=before, status=AFTER[Act(act)], by_system=True)


def _as_new(key: Key, found: Found) -> dict[str, Any]:
    return {
        "subject_id": found.subject_id,
        "visit_id": found.visit_id,
        "form": found.form,
        "repeat": found.repeat,
        "item": found.item,
        "value": found.value,
        "revision": found.revision,
        "text": found.zh,
        "text_en": found.en,
        "cause": key[-1],
        "priority": Query.Priority.NORMAL.value,
        "assignee": Role.COORDINATOR.value,
    }


def _returns(query: Query, found: Found | None) -> bool:
    """A closed query whose cause is there again; a person who closed it settled the value that stood then.

    About a form or a visit, which has no value, they settled what the question says.
    """
    if found is None or query.status != Status.CLOSED:
        return False
    is_settled = query.settled_value == found.value if query.item else query.text == found.zh
    return query.closed_by_id is None or not is_settled


def _gone(query: Query, held: Mapping[str, Any] | None) -> dict[str, Any]:
    """The system's last word: which cause is gone, and what stands there now."""
    row = _row(query, "", text_en="", held=held)
    if query.cause == MISSING:
        zh, en = "表单已录入或不再逾期", "The form was entered, or is no longer overdue"
    elif query.item:
        zh = f"原因已消失({query.cause}):现为 {_shown(query, held, 'zh-hans')}"
        en = f"The cause is gone ({query.cause}): it is now {_shown(query, held, 'en')}"
    else:
        zh, en = f"原因已消失({query.cause})", f"The cause is gone ({query.cause})"
    return row | {"text": zh, "text_en": en}


def _shown(query: Query, held: Mapping[str, Any] | None, language: str) -> str:
    """What stands at the query's place now, as people read it."""
    value = value_at(held["data"], query.item) if held else None
    definition = definition_of_build(held["build_id"]) if held else None
    return shown_value(definition, query.form, query.item, value, language)


def _answer_by_comment(
    records: Mapping[Place, Record],
    existing: Sequence[Query],
    opened: Sequence[int],
    settled: Collection[int],
    study_id: int,
    by: User,
) -> None:
    """The comment with which a finding was overridden answers its query; the same comment answers once."""
    if not any(record.comments for record in records.values()):
        return
    asked = [query for query in existing if query.status == Status.OPEN and query.cause and query.pk not in settled]
    asked += list(Query.objects.filter(pk__in=opened)) if opened else []
    given = [(query, records[_place(query)].comments.get(query.item, "")) for query in asked]
    given = [(query, text) for query, text in given if text and _may_answer(records[_place(query)].subject, by)]
    if not given:
        return
    before = QueryMessage.objects.filter(query__in=[query.pk for query, _text in given], act=Act.ANSWER)
    said = set(before.values_list("query_id", "text"))
    rows = [_answered(query, text, records) for query, text in given if (query.pk, text) not in said]
    Query.objects.step(Act.ANSWER, rows, study_id=study_id, before=BEFORE[Act.ANSWER], status=Status.ANSWERED)


def _answer_by_change(records: Mapping[Place, Record], existing: Sequence[Query], study_id: int, by: User) -> None:
    """A value changed with the reason "in answer to a query" answers the open queries on it."""
    reason = audit.current().reason
    if reason.partition(":")[0] != "query":
        return
    rows = []
    for query in existing:
        record = records[_place(query)]
        now = value_at(record.data, query.item) if query.item else None
        if query.status != Status.OPEN or not query.item or now == query.value or not _may_answer(record.subject, by):
            continue
        values = [shown_value(record.study_definition, query.form, query.item, one, "") for one in (query.value, now)]
        rows.append(_answered(query, " ".join([" → ".join(values), reason.partition(":")[2].strip()]), records))
    Query.objects.step(Act.ANSWER, rows, study_id=study_id, before=BEFORE[Act.ANSWER], status=Status.ANSWERED)


def _answered(query: Query, text: str, records: Mapping[Place, Record]) -> dict[str, Any]:
    record = records[_place(query)]
    return _row(query, text, text_en="", held={"data": record.data, "revision": record.revision})


def _may_answer(subject: Subject, by: User) -> bool:
    return Permission.QUERY_ANSWER in rights(by, site=subject.site)


# Rules and the night


def settle(
    *,
    study: Study,
    cause: str,
    found: Iterable[Found],
    origin: str = Query.Origin.RULE,
    subjects: Collection[int] | None = None,
    by: User,
) -> dict[str, int]:
    """Make the queries of one cause (`rule:<id>`) those of `found`: open, reopen, and close what is no longer found.

    `subjects` are the keys of those that were looked at (None: all of the study); others' queries stay as they are.
    How many were opened (or reopened) and closed.
    """
    authorise(by, Permission.QUALITY_RUN, study=study)
    wanted = {(one.visit_id, one.form, one.repeat, one.item, cause): one for one in found}
    existing = Query.objects.filter(study=study, cause=cause).order_by("pk")
    if subjects is not None:
        existing = existing.filter(subject__in=list(subjects))
    queries = list(existing)
    with audit.change(by=by):
        opened = _settle(queries, wanted, study.pk, origin)
    closed = sum(1 for query in queries if _key(query) not in wanted and query.status != Status.CLOSED)
    return {"opened": len(opened), "closed": closed}


def open_overdue(*, study: Study, by: User) -> dict[str, int]:
    """Query the forms that are missing so many days after their visit's window as the study's SDV plan says."""
    authorise(by, Permission.QUALITY_RUN, study=study)
    plan = SdvPlan.objects.filter(study=study).first()
    found = [] if plan is None or plan.overdue_days is None else list(_overdue(study, plan.overdue_days))
    return settle(study=study, cause=MISSING, found=found, origin=Query.Origin.MISSING, by=by)


def _overdue(study: Study, days: int) -> Iterator[Found]:
    forms = {
        (site, event.oid): event.forms
        for site, definition in definitions_in_force(study).items()
        for event in definition.events
        if not event.optional
    }
    late = timezone.localdate() - dt.timedelta(days=days)
    visits = Visit.objects.filter(subject__study=study, subject__status="enrolled", window_to__lt=late)
    saved = set(Record.objects.filter(visit__in=visits.order_by().values("pk")).values_list("visit_id", "form"))
    for visit in visits.select_related("subject").order_by("pk"):
        for form in forms.get((visit.subject.site_id, visit.event), ()):
            if (visit.pk, form) not in saved:
                yield Found(
                    subject_id=visit.subject_id,
                    visit_id=visit.pk,
                    form=form,
                    zh=f"访视窗已于 {visit.window_to} 结束,本表尚未录入",
                    en=f"The visit's window closed on {visit.window_to} and this form is not entered",
                )


def recheck(*, study: Study, by: User) -> int:
    """Weigh every record of the study again, for findings that came or went by changes elsewhere; how many records."""
    authorise(by, Permission.QUALITY_RUN, study=study)
    if not _has_checks_that_query(study):
        return 0
    count = 0
    for subject in Subject.objects.filter(study=study).select_related("site", "group").order_by("pk").iterator(BATCH):
        subject.study = study
        with audit.change(by=by):
            Subject.objects.select_for_update().only("pk").get(pk=subject.pk)
            records = subject_records(subject)
            if records:
                _settle_saved([(record, _state(record, records)) for record in records], by)
        count += len(records)
    return count


def _has_checks_that_query(study: Study) -> bool:
    builds = Record.objects.filter(subject__study=study).order_by().values_list("build_id", flat=True).distinct()
    definitions = [definition_of_build(key) for key in builds]
    return any(
        one.capture.soft_to_query or any(check.query for form in one.forms for check in form.checks)
        for one in definitions
    )


def _state(record: Record, records: Sequence[Record]) -> FormState:
    others = [one for one in records if one.pk != record.pk]
    form = record.study_definition.form(record.form)
    return evaluate(form, record.data, context_for(record.subject, others, visit=record.visit))


def nightly(*, study: Study, by: User) -> dict[str, int]:
    """What the night does for a study's queries; how many were opened for missing forms, closed, records weighed."""
    authorise(by, Permission.QUALITY_RUN, study=study)
    return open_overdue(study=study, by=by) | {"records": recheck(study=study, by=by)}
