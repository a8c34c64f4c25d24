"""What stands in the way of a lock: open findings, forms that are missing or unfinished, images without masks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from crf.definitions.check import evaluate
from crf.definitions.model import Event, StudyDefinition
from crf.models import Record, StudyBuild
from crf.selectors import context_for
from imaging.models import Segmentation, Series
from registry.models import Study, Subject, Visit
from registry.web import url_or_none

KINDS = {
    "hard_finding": gettext_lazy("values outside hard limits or checks"),
    "incomplete": gettext_lazy("records still in progress"),
    "missing_form": gettext_lazy("forms due and not begun"),
    "missing_image": gettext_lazy("required sequences missing"),
    "no_mask": gettext_lazy("images without a mask of every region"),
    "image_quality": gettext_lazy("images with a quality finding"),
    "unmatched": gettext_lazy("images that belong to no subject yet"),
}


@dataclass(frozen=True)
class Issue:
    """One open point, where it is, and the page that settles it."""

    kind: str
    where: str
    message: str
    site: str = ""
    subject: str = ""
    url: str = ""


@dataclass(frozen=True)
class Readiness:
    issues: tuple[Issue, ...]
    subjects: int
    records: int

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many issues of each kind, in the order of KINDS."""
        found = Counter(issue.kind for issue in self.issues)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    @property
    def ready(self) -> bool:
        return not self.issues

    def of(self, kind: str) -> list[Issue]:
        return [issue for issue in self.issues if issue.kind == kind]


def readiness(study: Study) -> Readiness:
    """Every open point of the study, by kind, then by subject."""
    build = StudyBuild.objects.filter(study=study).first()
    records = list(
        Record.objects.filter(subject__study=study).select_related("subject__site", "subject__group", "visit")
    )
    issues = [*_record_issues(study, records)]
    if build:
        definition = build.study_definition
        issues += [*_missing_forms(study, definition, records), *_image_issues(study, definition)]
    order = list(KINDS)
    issues.sort(key=lambda issue: (order.index(issue.kind), issue.subject, issue.where))
    return Readiness(tuple(issues), Subject.objects.filter(study=study).count(), len(records))


def _record_issues(study: Study, records: list[Record]) -> Iterator[Issue]:
    by_subject: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        by_subject[record.subject_id].append(record)
    for record in records:
        about = _about(study, record.subject, record.visit, record.form, record.repeat)
        if record.status == Record.Status.IN_PROGRESS:
            yield Issue("incomplete", message=_("not marked complete"), **about)
        for item, message in _hard_findings(record, by_subject[record.subject_id]):
            yield Issue("hard_finding", message=f"{item}: {message}", **about)


def _hard_findings(record: Record, records: list[Record]) -> Iterator[tuple[str, str]]:
    others = [one for one in records if one.pk != record.pk]
    form = record.study_definition.form(record.form)
    state = evaluate(form, record.data, context_for(record.subject, others, visit=record.visit))
    for finding in state.findings:
        if finding.severity == "hard":
            yield finding.item, finding.message.of(get_language() or "en")


def _about(study: Study, subject: Subject, visit: Visit, form: str, repeat: int = 1) -> dict[str, Any]:
    url = url_or_none("crf:edit-record", study.code, subject.number, visit.event, visit.repeat, form, repeat) or ""
    where = f"{visit.event}/{visit.repeat} {form}/{repeat}"
    return {"where": where, "site": subject.site.code, "subject": subject.number, "url": url}


def _missing_forms(study: Study, definition: StudyDefinition, records: list[Record]) -> Iterator[Issue]:
    begun = {(record.visit_id, record.form) for record in records}
    events = {event.oid: event for event in definition.events}
    repeating = {form.oid for form in definition.forms if form.repeating}
    for visit in Visit.objects.filter(subject__study=study).select_related("subject__site"):
        event = events.get(visit.event)
        if event is None or not _is_due(visit, event):
            continue
        for form in event.forms:
            if form not in repeating and (visit.pk, form) not in begun:
                about = _about(study, visit.subject, visit, form)
                yield Issue("missing_form", message=_("due and not begun"), **about)


def _is_due(visit: Visit, event: Event) -> bool:
    if visit.occurred_on:
        return True
    return bool(not event.optional and visit.window_to and visit.window_to < timezone.localdate())


def _image_issues(study: Study, definition: StudyDefinition) -> Iterator[Issue]:
    if definition.imaging is None:
        return
    volumes = Series.objects.filter(study=study, volume_number__gt=0)
    series = list(volumes.select_related("subject__site", "site"))
    regions = {roi.code for roi in definition.imaging.rois if roi.required}
    regions = regions or {roi.code for roi in definition.imaging.rois[:1]}
    required = {sequence.code for sequence in definition.imaging.sequences if sequence.required}
    wanted = required or {sequence.code for sequence in definition.imaging.sequences}
    drawn: dict[int, set[str]] = {}
    for series_id, roi in Segmentation.objects.current().filter(series__study=study).values_list("series_id", "roi"):
        drawn.setdefault(series_id, set()).add(roi)
    for one in series:
        yield from _series_issues(study, one, regions - drawn.get(one.pk, set()) if one.kind in wanted else set())
    yield from _missing_images(study, definition, series)


def _series_issues(study: Study, series: Series, without: set[str]) -> Iterator[Issue]:
    url = url_or_none("imaging:series", study.code, series.pk) or ""
    where = f"{series.kind} {series.description}".strip()
    if series.subject is None:
        yield Issue("unmatched", where, _("matched to no subject"), series.site.code, "", url)
        return
    place = (series.subject.site.code, series.subject.number, url)
    if without:
        yield Issue("no_mask", where, _("no mask of: %(regions)s") % {"regions": ", ".join(sorted(without))}, *place)
    for finding in series.findings:
        yield Issue("image_quality", where, finding, *place)


def _missing_images(study: Study, definition: StudyDefinition, series: list[Series]) -> Iterator[Issue]:
    assert definition.imaging
    required = {sequence.code for sequence in definition.imaging.sequences if sequence.required}
    present: dict[int | None, set[str]] = {}
    for one in series:
        present.setdefault(one.subject_id, set()).add(one.kind)
    for subject in Subject.objects.filter(study=study).select_related("site") if required else []:
        if gone := required - present.get(subject.pk, set()):
            url = url_or_none("crf:subject", study.code, subject.number) or ""
            message = ", ".join(sorted(gone))
            yield Issue("missing_image", _("images"), message, subject.site.code, subject.number, url)
