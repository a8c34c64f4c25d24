"""Reads over source data verification: what is due under the plan, what stands verified, what changed since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import BigIntegerField, CharField, Count, F, Func, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat, Mod

from crf.definitions.model import Form, NotInDefinition, StudyDefinition
from crf.definitions.rows import flat
from crf.definitions.sampling import PARTS, in_share, value_digest
from crf.models import Record, SdvPlan, SourceVerification, StudyBuild
from crf.selectors import definition_of
from registry.models import Study, Subject, User, Visit
from registry.permissions import Permission

Scope = SdvPlan.Scope
SAMPLED = (Scope.SUBJECTS, Scope.FORMS)


def plan_of(study: Study) -> SdvPlan:
    """The study's plan; everything is due where nobody made one (that plan is not stored)."""
    return SdvPlan.objects.filter(study=study).first() or SdvPlan(study=study, scope=Scope.ALL)


def entered_values(record: Record) -> dict[str, Any]:
    """The answers of a record that a source can confirm, by path: what people entered, rows answer by answer."""
    form = record.study_definition.form(record.form)
    return {path: value for path, value in flat(record.data).items() if _is_entered(form, path)}


def _is_entered(form: Form, path: str) -> bool:
    try:
        return form.item(path).is_entered
    except NotInDefinition:
        return False


def due_items(plan: SdvPlan, record: Record, subject: Subject, visit: Visit) -> set[str]:
    """The paths of a record that the plan wants compared with the source."""
    entered = set(entered_values(record))
    if is_whole(plan, record, subject, visit):
        return entered
    if plan.scope in SAMPLED and not plan.critical_always:
        return set()
    form = record.study_definition.form(record.form)
    return {path for path in entered if form.item(path).critical}


def is_whole(plan: SdvPlan, record: Record, subject: Subject, visit: Visit) -> bool:
    """Whether every item of the record is due."""
    if plan.scope == Scope.ALL:
        return True
    if plan.scope == Scope.SUBJECTS:
        return in_share(plan.seed, subject.number, plan.percentage)
    place = f"{subject.number}/{visit.event}/{visit.repeat}/{record.form}/{record.repeat}"
    return plan.scope == Scope.FORMS and in_share(plan.seed, place, plan.percentage)


def due_records(study: Study, user: User, plan: SdvPlan) -> QuerySet[Record]:
    """The records inside the user's scope that have something due, in one statement; the database draws the sample."""
    found = Record.objects.visible_to(user, needs=Permission.RECORD_VIEW).filter(subject__study=study)
    if plan.scope == Scope.ALL:
        return found
    condition = _has_critical_items(study) if _critical_count(plan) else Q(pk__in=[])
    if plan.scope in SAMPLED:
        found = found.alias(sdv_part=_part(plan))
        condition |= Q(sdv_part__lt=plan.percentage * PARTS // 100)
    return found.filter(condition)


def _critical_count(plan: SdvPlan) -> bool:
    return plan.scope == Scope.CRITICAL or plan.critical_always


def _has_critical_items(study: Study) -> Q:
    """Records in whose own build an item of the form is critical."""
    found = Q(pk__in=[])
    for build in StudyBuild.objects.filter(study=study):
        if forms := _critical_forms(build.study_definition):
            found |= Q(build=build, form__in=forms)
    return found


def forms_with_critical_items(study: Study) -> list[str]:
    """The forms of the present build in which an item is critical."""
    return _critical_forms(definition_of(study))


def _critical_forms(definition: StudyDefinition) -> list[str]:
    return [form.oid for form in definition.forms if any(item.critical for item in form.questions.values())]


class _FirstBytes(Func):
    """The first 32 bits of a text's SHA-256 as a number, as `sampling.in_share` reads them."""

    template = "('x' || substr(encode(sha256(convert_to(%(expressions)s, 'UTF8')), 'hex'), 1, 8))::bit(32)::bigint"
    output_field = BigIntegerField()


def _part(plan: SdvPlan) -> Any:
    key: list[Any] = [Value(f"{plan.seed}:"), F("subject__number")]
    if plan.scope == Scope.FORMS:
        for part in ("visit__event", "visit__repeat", "form", "repeat"):
            key += [Value("/"), Cast(F(part), CharField())]
    return Mod(_FirstBytes(Concat(*key, output_field=CharField())), Value(PARTS), output_field=BigIntegerField())


@dataclass(frozen=True)
class Progress:
    """Records of one form at one site that the plan wants verified, by how far they are."""

    site_id: int
    form: str
    due: int  # complete or further, so that they can be compared
    done: int  # every item due stands verified
    entering: int  # not complete yet
    changed: int  # with values that changed after they were verified

    @property
    def open(self) -> int:
        return self.due - self.done


_ENTERED = ~Q(status=Record.Status.IN_PROGRESS)
# A change of what was not due leaves every due item verified and the record complete: somebody still confirms it.
_DONE = Q(status__in=["verified", "signed", "locked"], source_verification__is_complete=True)


def progress(study: Study, user: User, plan: SdvPlan) -> list[Progress]:
    """How far verification is, by site and form; one query."""
    rows = (
        due_records(study, user, plan)
        .order_by()
        .values("subject__site_id", "form")
        .annotate(
            due=Count("pk", filter=_ENTERED),
            done=Count("pk", filter=_DONE),
            entering=Count("pk", filter=~_ENTERED),
            changed=Count("pk", filter=Q(source_verification__changed_count__gt=0)),
        )
    )
    return [Progress(row.pop("subject__site_id"), **row) for row in rows]


def records_to_verify(study: Study, user: User, plan: SdvPlan, **filters: Any) -> QuerySet[Record]:
    """Complete records with items due that do not all stand verified, in the order of subjects and visits."""
    found = due_records(study, user, plan).filter(_ENTERED, **{k: v for k, v in filters.items() if v})
    found = found.exclude(_DONE)
    found = found.select_related("subject__site", "visit", "source_verification")
    return found.order_by("subject__number", "visit__target_on", "visit_id", "form", "repeat")


def changed_after_sdv(study: Study, user: User, **filters: Any) -> QuerySet[SourceVerification]:
    """What of verified values changed and was not compared again, inside the user's scope."""
    found = SourceVerification.objects.visible_to(user, needs=Permission.RECORD_VIEW)
    found = found.filter(record__subject__study=study, changed_count__gt=0, **{k: v for k, v in filters.items() if v})
    found = found.select_related("record__subject__site", "record__visit")
    return found.order_by("record__subject__number", "record__visit_id", "record__form", "record__repeat")


def values_then(verifications: Iterable[SourceVerification]) -> dict[tuple[int, int], dict[str, Any]]:
    """The answers at the revisions at which changed items were verified: {(record, revision): {path: value}}."""
    wanted = {(one.record_id, item["revision"]) for one in verifications for item in one.changed.values()}
    keys, revisions = {record for record, _r in wanted}, {revision for _k, revision in wanted}
    rows = Record.history.model.objects.filter(id__in=keys, revision__in=revisions)
    found = {(key, revision): flat(data) for key, revision, data in rows.values_list("id", "revision", "data")}
    return {pair: data for pair, data in found.items() if pair in wanted}


@dataclass(frozen=True)
class ItemStanding:
    """One answer of a record before the monitor: whether it is due, stands verified, or changed since it was."""

    path: str
    value: Any
    is_due: bool
    verified: Mapping[str, Any] | None
    changed: Mapping[str, Any] | None


def standing(record: Record, subject: Subject, visit: Visit, plan: SdvPlan) -> list[ItemStanding]:
    """Every entered answer of a record with its verification, in the order of the form; one query."""
    held = SourceVerification.objects.filter(record=record).first()
    items, changed = (held.items, held.changed) if held else ({}, {})
    due = due_items(plan, record, subject, visit)
    entered = entered_values(record)
    order = list(record.study_definition.form(record.form).questions)
    found = [
        ItemStanding(path, value, path in due, _still(items.get(path), value), changed.get(path))
        for path, value in entered.items()
    ]
    found += [ItemStanding(path, None, True, None, one) for path, one in changed.items() if path not in entered]
    return sorted(found, key=lambda one: order.index(_leaf(one.path)) if _leaf(one.path) in order else len(order))


def _still(verified: Mapping[str, Any] | None, value: Any) -> Mapping[str, Any] | None:
    return verified if verified and verified["digest"] == value_digest(value) else None


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]
