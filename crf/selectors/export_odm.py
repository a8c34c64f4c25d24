"""Records as ODM, with their queries, source verification and signatures, under the rules of an export."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.db.models import Exists, OuterRef

from crf.definitions.model import StudyDefinition
from crf.exchange.odm_write import OdmDataWriter, OdmNote, OdmSignature
from crf.exports.layout import TableLayout
from crf.exports.rules import Rule
from crf.exports.values import Rules, rules_of, treated
from crf.models import Query, QueryMessage, Record, SourceVerification, StudyBuild, public_id
from crf.selectors import current_build
from crf.selectors.export_rows import Scope
from registry import pseudonyms
from registry.models import Signature, Subject, User

# ODM asks for a time of writing; the true one is in the manifest, so that equal content is equal bytes.
NO_TIME = "2000-01-01T00:00:00+00:00"


def builds(scope: Scope) -> list[tuple[StudyDefinition, StudyBuild]]:
    """The builds that the study's records were made with, oldest first; the present one where there are no records."""
    used = Record.objects.filter(subject__study=scope.study).order_by().values("build").distinct()
    found = list(StudyBuild.objects.filter(pk__in=used).order_by("pk")) or [current_build(scope.study)]
    return [(build.study_definition, build) for build in found]


def write(
    path: Path,
    scope: Scope,
    layouts: Sequence[TableLayout],
    definition: StudyDefinition,
    build: StudyBuild,
    *,
    tells_missing: bool,
    progress: Any,
) -> dict[str, int]:
    """Write the records of one build; the number of them by form. `tells_missing`: queries about forms that nobody
    began stand in this file."""
    rules = {layout.form: rules_of(layouts, layout.form) for layout in layouts}
    counted: dict[str, int] = defaultdict(int)
    with path.open("wb") as file, OdmDataWriter(
        file,
        definition,
        created=NO_TIME,
        file_oid=f"{scope.study.code}.{definition.version}.records",
        users=_users(scope),
        source_version="lobule-records/1",
    ) as writer:  # fmt: skip
        waiting: list[dict[str, Any]] = []
        for chunk in scope.chunks():
            people = _people(scope, chunk)
            records = _records(scope, people, definition, build)
            around = _Around(scope, records, people, rules)
            for record in records:
                person = people[record.subject_id]
                data = treated(record.data, rules[record.form], person["days"], scope.wanted)
                writer.record(**_place(record, person), data=data, **around.of(record))
                counted[record.form] += 1
            if tells_missing:
                waiting += around.without_record()
            progress.step(definition.version)
        for one in waiting:
            writer.association(**one)
    return counted


def _people(scope: Scope, chunk: Sequence[tuple[str, int]]) -> dict[int, dict[str, Any]]:
    key = pseudonyms.study_key(scope.study)
    rows = Subject.objects.filter(pk__in=[pk for _, pk in chunk]).order_by()
    fields = rows.values_list("pk", "number", "site__code", "identity__hospital_number_hash")
    known = {pk: (number, site, hashed) for pk, number, site, hashed in fields}
    return {
        pk: {"name": name, "site": known[pk][1], "order": order}
        | {"days": pseudonyms.days_back(key, pseudonyms.person_key(known[pk][2], known[pk][0]))}
        for order, (name, pk) in enumerate(chunk)
    }


def _records(
    scope: Scope, people: dict[int, dict[str, Any]], definition: StudyDefinition, build: StudyBuild
) -> list[Record]:
    """In the order of the file: subject, event, form."""
    found = Record.objects.filter(subject__in=people, build=build).select_related("visit").order_by()
    found = found.filter(form__in=scope.wanted.forms) if scope.wanted.forms else found
    found = found.filter(visit__event__in=scope.wanted.events) if scope.wanted.events else found
    events = {event.oid: place for place, event in enumerate(definition.events)}
    forms = {form.oid: place for place, form in enumerate(definition.forms)}

    def order(record: Record) -> tuple[int, int, str, int, int, int]:
        visit = record.visit
        event = events.get(visit.event, len(events))
        person = people[record.subject_id]["order"]
        return person, event, visit.event, visit.repeat, forms.get(record.form, len(forms)), record.repeat

    return sorted(found, key=order)


def _place(record: Record, person: dict[str, Any]) -> dict[str, Any]:
    visit = record.visit
    where = {"event": visit.event, "repeat": visit.repeat, "form": record.form, "number": record.repeat}
    return {"subject": person["name"], "site": person["site"], **where}


def _users(scope: Scope) -> dict[str, str]:
    """Everybody who asked, verified or signed in the study; by account where the export is de-identified."""
    acted = set(Signature.objects.filter(study=scope.study).values_list("by", flat=True))
    for field in ("opened_by", "answered_by", "closed_by"):
        acted |= set(Query.objects.filter(study=scope.study).order_by().values_list(field, flat=True))
    members = User.objects.filter(memberships__study=scope.study).values_list("pk", flat=True)
    found = User.objects.filter(pk__in={*acted, *members} - {None}).order_by("username")
    named = scope.wanted.identified
    return {user.username: user.full_name if named and user.full_name else user.username for user in found}


class _Around:
    """What stands around the records of one chunk: queries, verification, signatures, comments."""

    def __init__(
        self, scope: Scope, records: list[Record], people: dict[int, dict[str, Any]], rules: dict[str, Rules]
    ) -> None:
        self.identified = scope.wanted.identified
        self.rules = rules
        self.people = people
        owners = {str(record.pk): record.subject_id for record in records}
        self.signatures: dict[str, list[OdmSignature]] = defaultdict(list)
        signed = Signature.objects.filter(study=scope.study, kind="record", object_id__in=owners)
        for one in signed.select_related("by").order_by("pk"):
            at = self.at(one.signed_at, owners[one.object_id])
            made = OdmSignature(by=one.by.username, at=at, meaning=one.meaning)
            self.signatures[one.object_id].append(made)
        found = SourceVerification.objects.filter(record__in=owners)
        self.verified = {one.record_id: one for one in found}
        self.queries: dict[tuple[int, str, int], list[Query]] = defaultdict(list)
        asked = Query.objects.filter(study=scope.study, subject__in=people, form__in=rules)
        if scope.wanted.events:
            asked = asked.filter(visit__event__in=scope.wanted.events)
        of_place = Record.objects.filter(visit=OuterRef("visit"), form=OuterRef("form"), repeat=OuterRef("repeat"))
        asked = asked.annotate(has_record=Exists(of_place)).select_related("opened_by", "visit")
        asked = asked.prefetch_related("messages__by") if self.identified else asked
        for query in asked.order_by("pk"):
            self.queries[query.visit_id, query.form, query.repeat].append(query)

    def at(self, moment: dt.datetime, subject: int) -> str:
        """When it was, moved with the subject's dates: else the time of a query would tell when the visit was."""
        days = 0 if self.identified else self.people[subject]["days"]
        return (moment.astimezone(dt.UTC) - dt.timedelta(days)).isoformat(timespec="seconds")

    def of(self, record: Record) -> dict[str, Any]:
        queries = self.queries.pop((record.visit_id, record.form, record.repeat), [])
        notes = [note for query in queries if self.is_shown(record.form, query.item) for note in self.query(query)]
        notes += self.verification(record)
        if self.identified:
            notes += [
                OdmNote(kind="comment", item=item, status="", text=text, by="", at="", ref="")
                for item, text in sorted(record.comments.items())
                if self.is_shown(record.form, item)
            ]
        return {"signatures": self.signatures.get(str(record.pk), []), "notes": notes}

    def is_shown(self, form: str, item: str) -> bool:
        """What is left out takes what is said of it along."""
        group, _, inner = item.partition("].")
        name = inner or item
        rule = self.rules[form].get(group.partition("[")[0] if inner else "", {}).get(name, Rule.KEEP)
        return not rule.leaves_out

    def query(self, query: Query) -> list[OdmNote]:
        """The question, then its thread. De-identified, words stay behind, and so does what was said: all free text;
        and the number, since numbers count up over all subjects: with moved times they would tell who moved how far."""
        said = [("query", query.status, query.text if self.identified else "", query.opened_by, query.opened_at)]
        for one in query.messages.all() if self.identified else ():
            if one.act != QueryMessage.Act.OPEN:
                said.append(("message", one.act, one.text, one.by, one.at))
        return [
            OdmNote(
                kind=kind,
                item=query.item,
                status=status,
                text=words,
                by=by.username if by else "",
                at=self.at(at, query.subject_id),
                ref=public_id(query.pk) if self.identified else "",
            )
            for kind, status, words, by, at in said
        ]

    def verification(self, record: Record) -> Iterable[OdmNote]:
        found = self.verified.get(record.pk)
        standing = [(found.items, "verified"), (found.changed, "changed")] if found else []
        return [
            OdmNote(
                kind="sdv",
                item=item,
                status=status,
                text="",
                by=one.get("by") or "",
                at=self.at(dt.datetime.fromisoformat(one["at"]), record.subject_id) if one.get("at") else "",
                ref="",
            )
            for items, status in standing
            for item, one in sorted(items.items())
            if self.is_shown(record.form, item)
        ]

    def without_record(self) -> list[dict[str, Any]]:
        """The queries about forms that nobody began."""
        return [
            self.place(query) | {"form": form, "number": number, "note": note}
            for (_visit, form, number), queries in self.queries.items()
            for query in queries
            if not query.has_record and self.is_shown(form, query.item)  # type: ignore[attr-defined]
            for note in self.query(query)
        ]

    def place(self, query: Query) -> dict[str, Any]:
        person = self.people[query.subject_id]
        whose = {"subject": person["name"], "site": person["site"]}
        return whose | {"event": query.visit.event, "repeat": query.visit.repeat}
