"""Run the data-quality rules over a study, keep what they find, and open queries where the study asks for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions.model import NUMERIC, Form, Item, StudyDefinition, Text
from crf.definitions.values import BadValue, refuse_unprintable
from crf.models import QualityFinding, QualityRun, Query
from crf.quality import dates, digits, missingness, outliers, words
from crf.selectors import definition_of, event_of
from crf.selectors.builds import definitions_in_force
from crf.selectors.quality import (
    Answers,
    SamePerson,
    answers,
    asked_alike,
    is_answered,
    same_people,
    values,
    visit_dates,
)
from crf.services import queries
from registry import audit, jobs
from registry.jobs import Progress
from registry.models import Job, Study, User, Visit
from registry.permissions import Permission, authorise
from registry.services import identities

KIND = "quality.run"


@dataclass(frozen=True)
class Found:
    """One finding of this run, before it is compared with those of the last."""

    rule: str
    key: str
    site: int
    details: dict[str, Any]
    subject: int | None = None
    visit: int | None = None
    form: str = ""
    repeat: int = 1
    item: str = ""
    revision: int | None = None
    value: Any = None


class ExplanationMissing(ValueError):
    """A finding is set aside only with the words why."""


def start(*, study: Study, by: User) -> Job:
    """Queue a run, whose progress shows on its job."""
    authorise(by, Permission.QUALITY_RUN, study=study)
    with audit.change(by=by):
        job = jobs.create(kind=KIND, study=study, by=by)
        jobs.enqueue("crf.tasks.run_quality", job=job, study_id=study.pk)
    return job


def run(*, study: Study, progress: Progress | None = None, by: User) -> QualityRun:
    """Apply every rule that the study has on to all its records; the same state twice changes nothing the second time.

    New findings are kept, those no longer found are marked gone, and the study's rules `to_query` open queries at the
    values, which close when the cause is gone, was explained, or is no longer asked about.
    """
    authorise(by, Permission.QUALITY_RUN, study=study)
    identities.complete_hashes(study=study, by=by)
    definition = definition_of(study)
    reading = _Reading(study, definition)
    found = [one for one in reading.findings(progress or Progress(None)) if one.rule not in definition.quality.off]
    with audit.change(by=by):
        # One run at a time writes; whoever saves meanwhile refers to the study and isn't kept waiting.
        Study.objects.select_for_update(no_key=True).only("pk").get(pk=study.pk)
        _keep(study, found)
        _ask(study, definition, found, by)
        counts = dict(sorted(Counter(one.rule for one in found).items()))
        made = QualityRun.objects.create(study=study, by=by, records=reading.records, counts=counts)
        audit.event(kind=KIND, study=study, details={"records": made.records, **counts})
    return made


def dismiss(*, finding: QualityFinding, explanation: str, by: User) -> QualityFinding:
    """Set a finding aside with the reason; it returns only when what was found changes."""
    authorise(by, Permission.QUALITY_RUN, site=finding.site)
    if not explanation.strip():
        raise ExplanationMissing(_("Say why this finding is no error."))
    try:
        refuse_unprintable(explanation)
    except BadValue as bad:
        raise ExplanationMissing(bad.of(get_language() or "zh-hans")) from bad
    with audit.change(by=by, reason=explanation):
        finding = QualityFinding.objects.select_for_update().get(pk=finding.pk)
        finding.state, finding.explanation = QualityFinding.State.DISMISSED, explanation.strip()
        finding.save()
        _close_query(finding, by)
    return finding


def _close_query(finding: QualityFinding, by: User) -> None:
    """What the rule asked about the finding is answered by its explanation."""
    place = {"form": finding.form, "repeat": finding.repeat} if finding.form else {}
    asked = Query.objects.filter(cause=f"rule:{finding.rule}", visit=finding.visit_id, item=finding.item, **place)
    if keys := list(asked.exclude(status=Query.Status.CLOSED).values_list("pk", flat=True)):
        queries.act_on_many(study=finding.study, act="close", keys=keys, text=finding.explanation, by=by)


def label_of(definition: StudyDefinition, form: str, item: str) -> Text:
    """The label of an item, also of a column of a repeating group; a visit's finding has none."""
    name, _, column = item.partition(".")
    try:
        found = definition.form(form).items[name.partition("[")[0]]
        group = definition.form(form).groups.get(found.name)
    except LookupError:
        return Text(zh=item or "访视日期", en=item or "Visit date")
    columns = {one.name: one for one in group.items} if group else {}
    return columns[column].label if column in columns else found.label


# What the rules find


@dataclass
class _Reading:
    """One pass over a study's records; each rule is a method that yields what it found."""

    study: Study
    definition: StudyDefinition
    records: int = 0
    site_codes: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.today = timezone.localdate()
        self.settings = self.definition.quality
        self.site_codes = dict(self.study.sites.values_list("pk", "code"))
        self.site_keys = {code: key for key, code in self.site_codes.items()}
        # A form that the present build dropped is still entered at the sites that go on with an earlier one.
        elsewhere = {form.oid: form for one in definitions_in_force(self.study).values() for form in one.forms}
        self.forms = elsewhere | {form.oid: form for form in self.definition.forms}

    def findings(self, progress: Progress) -> list[Found]:
        found = [*self.people(), *self.visits()]
        progress.start(len(self.forms))
        for form in self.forms.values():
            found += self.form(form)
            progress.step(form.oid)
        return found

    def people(self) -> Iterator[Found]:
        """Both of a pair are told, each at the own site."""
        for pair in same_people(self.study, self.definition):
            for who, other in ((pair.first, pair.second), (pair.second, pair.first)):
                yield self.same_person(pair, who, other)

    def same_person(self, pair: SamePerson, who: tuple[int, int], other: tuple[int, int]) -> Found:
        site, subject = who
        details = {"by": pair.by, "other_subject": other[1]}
        return Found("duplicate_subject", f"{subject}={other[1]}", site, details, subject)

    def visits(self) -> Iterator[Found]:
        for site, subject, visits in visit_dates(self.study):
            for one in dates.visit_findings(visits, self.today):
                details = {"date": one.date.isoformat(), "other": one.other.isoformat()}
                yield Found(one.rule, f"visit {one.visit}", site, details, subject, one.visit)

    def form(self, form: Form) -> list[Found]:
        numbers: dict[str, list[tuple[Answers, str, float]]] = defaultdict(list)
        asked: dict[str, Counter[int]] = defaultdict(Counter)
        given: dict[str, Counter[int]] = defaultdict(Counter)
        known: dict[str, Item] = {}
        found: list[Found] = []
        alike: dict[int, frozenset[str]] = {}
        for record in answers(self.study, form):
            self.records += 1
            if record.build not in alike:
                alike[record.build] = asked_alike(form, record.build)
            for path, item, value in values(form, record.data, alike[record.build]):
                known[item.name] = item
                if item.is_entered and not form.conditions.get(item.name, ("unknown",)):
                    asked[item.name][record.site] += 1
                    given[item.name][record.site] += is_answered(value)
                if not is_answered(value):
                    continue
                if item.type in NUMERIC:
                    numbers[item.name].append((record, path, float(value)))
                elif item.type == "date":
                    found += self.date(record, path, item, value)
        for name, measured in numbers.items():
            found += self.number(known[name], measured)
        for name, counts in asked.items():
            found += self.missing(form, name, {site: (n - given[name][site], n) for site, n in counts.items()})
        return found

    def date(self, record: Answers, path: str, item: Item, value: str) -> Iterator[Found]:
        occurred = record.occurred if item.role == "time" else None
        wrong = dates.item_finding(value, occurred, self.today, days=self.settings.days_from_visit)
        if wrong:
            yield _at(record, wrong[0], path, value, {"date": value, "other": wrong[1].isoformat()})

    def number(self, item: Item, measured: list[tuple[Answers, str, float]]) -> Iterator[Found]:
        """Outliers of the study and of each site; sites that differ; digits that come too often."""
        all_values = [value for _record, _path, value in measured]
        by_site: dict[int, list[tuple[Answers, str, float]]] = defaultdict(list)
        for one in measured:
            by_site[one[0].site].append(one)
        told: set[tuple[int, str, int, str]] = set()
        for group in (measured, *by_site.values()):
            for one in outliers.outliers([value for *_place, value in group], limit=self.settings.outlier_z):
                record, path, value = group[one.index]
                place = (record.visit, record.form, record.repeat, path)
                if place not in told:
                    told.add(place)
                    details = {"value": value, "low": one.low, "high": one.high}
                    yield _at(record, "outlier", path, value, details)
        form = measured[0][0].form
        codes = [self.site_codes[record.site] for record, _path, _value in measured]
        for shift in outliers.site_shifts(all_values, codes):
            details = {"n": shift.n, "median": shift.median, "others": shift.others_median}
            yield self.of_site("site_shift", self.site_keys[shift.site], form, item.name, details)
        for site, group in by_site.items():
            uneven = digits.digit_preference([value for *_place, value in group], decimals=item.precision or 0)
            if uneven:
                details = {"n": uneven.n, "digits": "、".join(uneven.digits), "percent": round(100 * uneven.share)}
                yield self.of_site("digit_preference", site, form, item.name, details)

    def missing(self, form: Form, name: str, counts: dict[int, tuple[int, int]]) -> Iterator[Found]:
        by_code = {self.site_codes[site]: pair for site, pair in counts.items()}
        for one in missingness.often_missing(by_code, share=self.settings.missing_share):
            details = {"missing": one.missing, "asked": one.asked, "percent": round(100 * one.share)}
            yield self.of_site("missingness", self.site_keys[one.site], form.oid, name, details)

    def of_site(self, rule: str, site: int, form: str, item: str, details: dict[str, Any]) -> Found:
        return Found(rule, f"site {site} {form}.{item}", site, details, form=form, item=item)


def _at(record: Answers, rule: str, path: str, value: Any, details: dict[str, Any]) -> Found:
    key = f"{record.visit} {record.form}/{record.repeat} {path}"
    place = (record.subject, record.visit, record.form, record.repeat, path)
    return Found(rule, key, record.site, details, *place, record.revision, value)


# What is kept


def _keep(study: Study, found: Iterable[Found]) -> None:
    stored = {(one.rule, one.key): one for one in QualityFinding.objects.filter(study=study)}
    present = {(one.rule, one.key): one for one in found}
    for place, one in present.items():
        before = stored.get(place)
        if before is None:
            QualityFinding(study=study, **_columns(one)).save()
        elif before.state == QualityFinding.State.GONE or _essence(before.details) != _essence(one.details):
            before.details, before.state, before.explanation = one.details, QualityFinding.State.OPEN, ""
            before.found_at = timezone.now()
            before.save()
        elif before.subject_id is None and before.details != one.details:  # what is told of a site is as of this run
            before.details = one.details
            before.save()
    for place, before in stored.items():
        if place not in present and before.state != QualityFinding.State.GONE:
            before.state = QualityFinding.State.GONE
            before.save()


# Details that move from night to night without the finding being another one.
DRIFTING = frozenset({"low", "high", "n", "asked", "missing", "percent", "median", "others", "digits", "other"})


def _essence(details: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key not in DRIFTING}


def _columns(one: Found) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "key": one.key,
        "site_id": one.site,
        "subject_id": one.subject,
        "visit_id": one.visit,
        "form": one.form,
        "repeat": one.repeat,
        "item": one.item,
        "details": one.details,
    }


def _ask(study: Study, definition: StudyDefinition, found: Iterable[Found], by: User) -> None:
    """Bring the queries of the rules up to date, those of rules that no longer ask too."""
    explained = set(
        QualityFinding.objects.filter(study=study, state=QualityFinding.State.DISMISSED).values_list("rule", "key")
    )
    to_ask = [one for one in found if (one.rule, one.key) not in explained]
    asking = {f"rule:{rule}" for rule in set(definition.quality.to_query) - set(definition.quality.off)}
    waiting = Query.objects.filter(study=study, cause__startswith="rule:").exclude(status=Query.Status.CLOSED)
    for cause in sorted(asking | set(waiting.order_by().values_list("cause", flat=True).distinct())):
        asked = _asked(study, cause.removeprefix("rule:"), to_ask) if cause in asking else []
        queries.settle(study=study, cause=cause, found=asked, origin=Query.Origin.RULE, by=by)


def _asked(study: Study, rule: str, found: Iterable[Found]) -> list[queries.Found]:
    """The findings of a rule as questions; one about a visit is asked at its first form.

    A visit that the build in force at its site has no more has no form to ask at: it is only told.
    """
    in_force = definitions_in_force(study)
    about = [one for one in found if one.rule == rule and one.visit is not None and one.subject is not None]
    codes = dict(Visit.objects.filter(pk__in={one.visit for one in about}).values_list("pk", "event"))
    asked = []
    for one in about:
        assert one.visit is not None and one.subject is not None
        definition = in_force[one.site]
        event = event_of(definition, codes[one.visit])
        form = one.form or (event.forms[0] if event else "")
        if not form:
            continue
        text = words.told(rule, one.details, label=label_of(definition, one.form, one.item))
        asked.append(
            queries.Found(
                subject_id=one.subject,
                visit_id=one.visit,
                form=form,
                zh=text.zh,
                en=text.en,
                repeat=one.repeat,
                item=one.item,
                value=one.value,
                revision=one.revision,
            )
        )
    return asked
