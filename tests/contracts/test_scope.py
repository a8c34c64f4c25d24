"""Every door of the site, tried by everybody: the table says who may enter, the URL configuration says what there is.

A door that is not in the table fails the day it is written. In scope without the right is 403, out of scope 404,
nobody signed in: the sign-in page, or 403 from the API.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from analytics.selectors import plans
from analytics.services import datasets, evaluations
from crf.definitions.model import Item, StudyDefinition, Text
from crf.exchange import yaml_zip
from crf.exports.rules import Wanted
from crf.models import QualityFinding
from crf.services import attachments, build_uploads, builds, calendar, exports, import_jobs, queries
from imaging.models import Series
from imaging.services import intake
from registry import audit, jobs
from registry.jobs import Progress
from registry.models import User
from registry.permissions import Role
from registry.services import people
from tests.analytics.cohort import ENDPOINTS, fill, publish_rules
from tests.imaging.conftest import stack
from tests.imaging.test_segmentations import add
from tests.study import DEFINITION, PASSWORD, enrol, enter, person, publish

EVERYBODY = frozenset(role.value for role in Role if role is not Role.SYSTEM)
CASEBOOK = frozenset({"coordinator", "investigator", "pi", "monitor", "data_manager"})
ENTRY = frozenset({"coordinator", "investigator", "data_manager"})
HOSPITAL = frozenset({"coordinator", "investigator"})
SIGNERS = frozenset({"investigator", "pi"})
EXPORTERS = frozenset({"pi", "data_manager"})
VIEWERS = CASEBOOK | {"reader"}
DATASETS = frozenset({"pi", "data_manager", "statistician", "administrator"})
RESULTS = frozenset({"pi", "statistician", "administrator"})
RUNNERS = frozenset({"statistician", "administrator"})
AUDITORS = frozenset({"pi", "monitor", "data_manager"})
ASKERS = AUDITORS
MONITORS = frozenset({"monitor", "data_manager"})
BUILDERS = frozenset({"data_manager"})
JOBS = CASEBOOK | {"statistician", "administrator"}

PUBLIC = {"crf:feed", "registry:sign-in", "registry:sign-out", "registry:set-language"}


class Door(NamedTuple):
    """How far a membership must reach, and which roles may GET and POST (the API: PUT); None is 405.

    study: anywhere in it; site: to the thing's site; whole: to every site ("site and whole": the thing is of one);
    own: the page shows what is the visitor's; sender: the thing is seen by whoever sent it.
    """

    reach: str
    get: frozenset[str] | None
    post: frozenset[str] | None = None

    def methods(self) -> dict[str, frozenset[str]]:
        return {name: roles for name, roles in (("get", self.get), ("post", self.post)) if roles is not None}


DOORS = {
    "registry:studies": Door("own", EVERYBODY),
    "registry:profile": Door("own", EVERYBODY),
    "registry:study": Door("study", EVERYBODY),
    "registry:subjects": Door("study", CASEBOOK),
    "registry:identity": Door("site", None, HOSPITAL),
    "registry:audit": Door("study", AUDITORS),
    "registry:export-audit": Door("study", None, frozenset({"monitor"})),
    "registry:jobs": Door("study", JOBS),
    "registry:job": Door("study", JOBS),
    "crf:import-records": Door("study", ENTRY, ENTRY),
    "crf:import": Door("sender", ENTRY, ENTRY),
    "crf:import-columns": Door("sender", ENTRY, ENTRY),
    "crf:import-refused": Door("sender", ENTRY),
    "crf:builds": Door("study", CASEBOOK),
    "crf:build": Door("study", CASEBOOK),
    "crf:build-form": Door("study", CASEBOOK),
    "crf:build-difference": Door("study", CASEBOOK),
    "crf:download-build": Door("study", CASEBOOK),
    "crf:upload-build": Door("whole", BUILDERS, BUILDERS),
    "crf:build-draft": Door("whole", BUILDERS, BUILDERS),
    "crf:draft-losses": Door("whole", BUILDERS),
    "crf:draft-records": Door("whole", BUILDERS),
    "crf:release-build": Door("whole", BUILDERS, BUILDERS),
    "crf:migrate-records": Door("whole", BUILDERS, BUILDERS),
    "crf:weigh-build": Door("whole", None, BUILDERS),
    "crf:study-records": Door("study", CASEBOOK),
    "crf:quality": Door("study", CASEBOOK),
    "crf:quality-rows": Door("study", CASEBOOK),
    "crf:quality-findings": Door("study", CASEBOOK),
    "crf:dismiss-finding": Door("site", frozenset({"monitor", "data_manager"}), frozenset({"monitor", "data_manager"})),
    "crf:run-quality": Door("study", None, frozenset({"monitor", "data_manager"})),
    "crf:enrol-subject": Door("study", ENTRY, ENTRY),
    "crf:subject": Door("site", CASEBOOK),
    "crf:add-visit": Door("site", None, ENTRY),
    "crf:queries": Door("study", CASEBOOK),
    "crf:act-on-queries": Door("study", None, CASEBOOK),
    "crf:export-records": Door("study", EXPORTERS, EXPORTERS),
    "crf:fetch-export": Door("site", EXPORTERS),
    "crf:export-queries": Door("study", None, CASEBOOK),
    "crf:keep-query-view": Door("study", None, CASEBOOK),
    "crf:drop-query-view": Door("study", None, CASEBOOK),
    "crf:query": Door("site", CASEBOOK, CASEBOOK),
    "crf:place-queries": Door("site", CASEBOOK, ASKERS),
    "crf:sdv": Door("study", CASEBOOK),
    "crf:sdv-verify": Door("study", None, frozenset({"monitor"})),
    "crf:sdv-plan": Door("whole", MONITORS, MONITORS),
    "crf:sdv-record": Door("site", CASEBOOK, frozenset({"monitor"})),
    "crf:verify-visit": Door("site", None, frozenset({"monitor"})),
    "crf:api-queries": Door("study", CASEBOOK, ASKERS),
    "crf:api-query": Door("site", CASEBOOK),
    "crf:api-query-answer": Door("site", None, ENTRY),
    "crf:api-query-close": Door("site", None, MONITORS),
    "crf:api-query-reopen": Door("site", None, MONITORS),
    "crf:api-query-comment": Door("site", None, CASEBOOK),
    "crf:edit-record": Door("site", CASEBOOK, ENTRY),
    "crf:evaluate-record": Door("site", None, CASEBOOK),
    "crf:worklist": Door("study", CASEBOOK),
    "crf:casebooks": Door("study", CASEBOOK),
    "crf:jump": Door("study", CASEBOOK),
    "crf:calendar": Door("study", CASEBOOK),
    "crf:calendar-feed": Door("study", None, CASEBOOK),
    "crf:draft": Door("site", None, ENTRY),
    "crf:discard-draft": Door("site", None, ENTRY),
    "crf:presence": Door("site", None, CASEBOOK),
    "crf:add-file": Door("site", None, ENTRY),
    "crf:file": Door("site", CASEBOOK),
    "crf:second-entry": Door("site", ENTRY, ENTRY),
    "crf:compare-entries": Door("site", ENTRY, ENTRY),
    "crf:verify-record": Door("site", None, frozenset({"monitor"})),
    "crf:sign-record": Door("site", SIGNERS, SIGNERS),
    "crf:unlock-record": Door("site and whole", frozenset({"pi"}), frozenset({"pi"})),
    "crf:record-history": Door("site", CASEBOOK),
    "crf:item-history": Door("site", CASEBOOK),
    "crf:api-subjects": Door("study", CASEBOOK),
    "crf:api-records": Door("site", CASEBOOK),
    "crf:api-record": Door("site", CASEBOOK, ENTRY),
    "imaging:images": Door("study", VIEWERS),
    "imaging:upload": Door("study", HOSPITAL, HOSPITAL),
    "imaging:intake": Door("site", CASEBOOK),
    "imaging:series": Door("site", VIEWERS),
    "imaging:match": Door("site", None, HOSPITAL),
    "imaging:thumbnail": Door("site", VIEWERS),
    "imaging:download": Door("site", VIEWERS),
    "imaging:add-segmentation": Door("site", None, frozenset({"reader"})),
    "imaging:mask": Door("mask", frozenset({"pi", "data_manager"})),
    "imaging:subject-series": Door("site", CASEBOOK),
    "analytics:datasets": Door("whole", DATASETS),
    "analytics:lock-dataset": Door("whole", frozenset({"pi"}), frozenset({"pi"})),
    "analytics:dataset": Door("whole", DATASETS),
    "analytics:dataset-manifest": Door("whole", DATASETS),
    "analytics:verify-dataset": Door("whole", None, DATASETS),
    "analytics:start-evaluation": Door("whole", None, RUNNERS),
    "analytics:evaluations": Door("whole", RESULTS),
    "analytics:evaluation": Door("whole", RESULTS),
    "analytics:report": Door("whole", RESULTS),
    "analytics:report-file": Door("whole", RESULTS),
    "analytics:figure": Door("whole", RESULTS),
}

# What must not stand in an answer to those without the right at the subject's site.
ANSWER, NAME, MASKS = "Sentinel-treatment", "赛丁内尔", "/images/segmentations/"
HOSTILE = "<script>hostile()</script>"  # in labels, values, comments and reasons; no page may hold it as it is
ELSEWHERE = {"crf:download-build": {"kind": "yaml"}, "crf:add-visit": {"event": "FOLLOW", "visit": 1}}


def patterns(resolver: URLResolver, prefix: str = "", namespace: str = "") -> Iterator[tuple[str, str]]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from patterns(entry, prefix + str(entry.pattern), inner)
        elif isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name}", prefix + str(entry.pattern)


ROUTES = dict(patterns(get_resolver()))


def address(name: str, values: dict[str, Any]) -> str:
    """The route with its parameters filled by things that exist; KeyError for a parameter nobody has named here."""
    filled, values = ROUTES[name], values | ELSEWHERE.get(name, {})
    while "<" in filled:
        before, rest = filled.split("<", 1)
        parameter, after = rest.split(">", 1)
        filled = f"{before}{values[parameter.rpartition(':')[2]]}{after}"
    return f"/{filled}"


class Visitor(NamedTuple):
    """Somebody signed in; `roles` are those in force in the study, by the code of their site ("" is all sites)."""

    user: Any
    roles: frozenset[tuple[str, str]] = frozenset()
    drew_the_mask: bool = False
    sent_the_file: bool = False

    def at(self, *sites: str) -> frozenset[str]:
        return frozenset(role for role, site in self.roles if site in sites)


def expected(door: Door, allowed: frozenset[str], visitor: Visitor) -> set[int]:
    """The statuses that are right; 200 stands for every answer to somebody who may."""
    if door.reach == "own":
        return {200}
    if not visitor.roles:
        return {404}
    here, anywhere = visitor.at("01", ""), visitor.at("01", "02", "")
    if door.reach == "sender":
        return {200} if visitor.sent_the_file else {404} if anywhere & allowed else {403}
    if door.reach == "mask":
        return {200} if here & allowed or visitor.drew_the_mask else {403, 404}
    everywhere = visitor.at("")
    holding = {"study": anywhere, "site": here, "whole": everywhere, "site and whole": everywhere}[door.reach]
    if holding & allowed:
        return {200}
    out_of_scope = door.reach.startswith("site") and not here
    # A role that never has the right may be told so before anything is looked up.
    return {404} if out_of_scope and anywhere & allowed else {403, 404} if out_of_scope else {403}


# Hospital staff and readers at one site each; the others also at all of them.
PLACES = [(role, code) for role in sorted(EVERYBODY) for code in ("01", "02")]
PLACES += [(role, "") for role in sorted(EVERYBODY - HOSPITAL - {"reader"})]


@pytest.fixture(scope="module")
def place(django_db_setup, django_db_blocker) -> Iterator[tuple[dict[str, Any], dict[str, Visitor]]]:
    """One filled study with the ids of its things, and its visitors; built once, and never committed."""
    with tempfile.TemporaryDirectory() as folder, django_db_blocker.unblock():
        backend = {**settings.STORAGES["default"], "OPTIONS": {"location": folder}}
        quick = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        storages = settings.STORAGES | {"default": backend}
        with override_settings(STORAGES=storages, PASSWORD_HASHERS=quick), transaction.atomic():
            yield _built(folder)
            transaction.set_rollback(True)


def _built(folder: str) -> tuple[dict[str, Any], dict[str, Visitor]]:
    system = people.system_user()
    follow = {"oid": "FOLLOW", "name": {"zh": "随访", "en": "Follow-up"}, "kind": "repeating", "forms": ["LB"]}
    events = [*DEFINITION["events"], follow | {"optional": True}]
    title = {"zh": f"研究{HOSTILE}", "en": f"Study {HOSTILE}"}
    sites = [site | {"name": {"zh": HOSTILE, "en": HOSTILE}} for site in DEFINITION["sites"]]
    study = publish(events=events, title=title, sites=sites).study
    other = publish(code="OTHER", events=events).study
    site = study.sites.get(code="01")
    publish_rules(study, Path(folder), endpoints=ENDPOINTS.replace("Low albumin", HOSTILE))
    fill(study, by=system, size=20)
    reader, pi = person("reader-1", study=study, role="reader"), person("pi-1", study=study, role="pi")
    dataset = datasets.lock(study=study, name="main", password=PASSWORD, by=pi)
    made = evaluations.evaluate(dataset=dataset, plan=plans.plans(dataset.rules)[0], by=system)
    subject = enrol(site, by=system, name=NAME, hospital_number="HN0012345")
    about = {"age": "50", "sex": "F", "pregnant": ANSWER + HOSTILE}
    enter(subject, "DM", about, comments={"age": HOSTILE}, by=system)
    enter(subject, "DM", {"age": "51"}, reason=f"other: {HOSTILE}", by=system)
    enter(subject, "LB", {"lb_date": "2026-03-02"}, by=system)
    baseline = subject.visits.get(event="BASELINE")
    asked = queries.raise_query(
        subject=subject, visit=baseline, form="DM", item="pregnant", text=ANSWER + HOSTILE, by=system
    )
    calendar.add_repeat(subject=subject, event="FOLLOW", by=system)
    with audit.change(by=system):
        finding = QualityFinding(study=study, site=site, subject=subject, rule="outlier", form="DM", item="age")
        finding.details = {"value": 50, "low": 60, "high": 70}
        finding.save()
    taken = intake.receive(files=stack(), study=study, site=site, by=system)
    series = Series.objects.get(study=study)
    scan = Item(name="scan", type="file", label=Text(zh="扫描件", en="Scan"))
    sheet = SimpleUploadedFile("scan.pdf", f"%PDF-1.4 {ANSWER}".encode())
    attached = attachments.add(subject=subject, form="DM", item=scan, upload=sheet, by=system)
    newer = DEFINITION | {"version": "1.1", "events": events, "title": title, "sites": sites}
    renamed = [*DEFINITION["forms"][:2], DEFINITION["forms"][2] | {"name": title}]
    newer = StudyDefinition.from_json(newer | {"forms": renamed})
    later = builds.publish(definition=newer, release=False, by=system)
    content = yaml_zip.write_zip(newer.model_copy(update={"version": "1.2"}))
    draft = build_uploads.upload(study=study, file_name=f"{HOSTILE}.zip", content=content, by=system)
    export = exports.start(study=study, format="csv", wanted=Wanted(sites=("01",)), by=system)
    exports.run(made=export, progress=Progress(export.job), by=system)
    sender = person("sender", study=study, role="data_manager")
    file = b"subject,age\n1,2\n"
    sent_file = import_jobs.upload(study=study, file_name=f"{HOSTILE}.csv", content=file, by=sender)
    import_jobs.preview(upload=sent_file, by=sender)
    things = {
        "export_id": export.pk,
        "build_id": later.pk,
        "draft_id": draft.pk,
        "code": study.code,
        "number": subject.number,
        "event": "BASELINE",
        "visit": 1,
        "form": "DM",
        "repeat": 1,
        "item": "age",
        "file": attached["file"],
        "job_id": jobs.create(kind="nightly", study=study, by=system).pk,
        "intake_id": taken.pk,
        "series_id": series.pk,
        "mask_id": add(series, reader).pk,
        "finding_id": finding.pk,
        "token": "a-token-that-nobody-made",
        "query_id": asked.pk,
        "dataset_id": dataset.pk,
        "evaluation_id": made.pk,
        "import_id": sent_file.pk,
        "format": "csv",
        "language": "en",
        "name": next(Path(folder, made.folder, "figures", "en").glob("*.svg")).stem,
    }

    def hired(name: str, *roles: tuple[str, str], where: Any = study, until: dt.date | None = None) -> Visitor:
        user = User.objects.create(username=name, full_name=name)
        for role, code in roles:
            at = where.sites.get(code=code) if code else None
            given = people.grant(user=user, study=where, role=role, site=at, by=system)
            if until:
                people.revoke(membership=given, valid_to=until, reason="left", by=system)
        return Visitor(user, frozenset(roles) if where == study and not until else frozenset())

    everything = [(role, code) for role in sorted(EVERYBODY) for code in ("", "01")]
    visitors = {f"{role}@{code or '*'}": hired(f"{role}-{code}", (role, code)) for role, code in PLACES}
    hired("every-role", *everything)
    visitors |= {
        "nobody": hired("nobody"),
        "every role in another study": hired("foreigner", *everything, where=other),
        "every role until yesterday": hired("leaver", *everything, until=timezone.localdate() - dt.timedelta(days=1)),
        "reader here, every role next door": hired("torn", ("reader", "01"), *((role, "02") for role in EVERYBODY)),
        "the file's sender": Visitor(sender, frozenset({("data_manager", "")}), sent_the_file=True),
        "the mask's reader": Visitor(reader, frozenset({("reader", "")}), drew_the_mask=True),
    }
    return things, visitors


WHO = [f"{role}@{code or '*'}" for role, code in PLACES] + [
    "nobody",
    "every role in another study",
    "every role until yesterday",
    "reader here, every role next door",
    "the mask's reader",
    "the file's sender",
]


@pytest.fixture
def undone(place, django_db_blocker) -> Iterator[None]:
    """What a test writes is taken back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def sent(client: Client, method: str, name: str, url: str) -> Any:
    if method == "post" and name == "crf:api-record":
        return client.put(url, {"data": {}, "expected_revision": 0}, content_type="application/json")
    return getattr(client, method)(url)


@pytest.mark.parametrize("who", WHO)
def test_everybody_gets_as_far_as_their_memberships_reach(place, undone, who):
    things, visitors = place
    visitor, client, wrong = visitors[who], Client(headers={"accept-language": "en"}), []
    client.force_login(visitor.user)
    for name, door in DOORS.items():
        for method, allowed in door.methods().items():
            answer = sent(client, method, name, address(name, things))
            may = expected(door, allowed, visitor)
            status = 200 if answer.status_code in (200, 302, 409, 422) else answer.status_code
            if status not in may:
                wrong.append(f"{method} {name}: {answer.status_code}, not {sorted(may)}")
            wrong += [f"{method} {name} shows {what}" for what in leaks(answer, visitor, things)]
            if "default-src 'self'" not in answer.headers["Content-Security-Policy"]:
                wrong.append(f"{method} {name} has a policy of its own")
    assert not wrong, "\n".join(wrong)


def leaks(answer: Any, visitor: Visitor, things: dict[str, Any]) -> list[str]:
    """What the answer holds and this visitor may not know."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    body = body.replace(f'="{answer.wsgi_request.path}"'.encode(), b"")  # what was asked for is no secret
    here = visitor.at("01", "")
    secrets = {
        ANSWER: here & CASEBOOK,
        NAME: here & HOSPITAL,
        things["number"]: here & CASEBOOK,
        f"{MASKS}{things['mask_id']}": here & {"pi", "data_manager"} or visitor.drew_the_mask,
    }
    if answer.headers["Content-Type"].startswith(("text/html", "image/svg")):
        secrets[HOSTILE] = frozenset()
    return [what for what, known in secrets.items() if not known and what.encode() in body]


def test_no_door_acts_on_a_request_of_another_site(place, undone):
    things, client = place[0], Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="every-role"))
    for name in (name for name, door in DOORS.items() if door.post):
        assert sent(client, "post", name, address(name, things)).status_code == 403, name


def test_a_thing_is_found_under_its_own_study_only(place, undone):
    things, visitors = place
    client = Client()
    client.force_login(visitors["every role in another study"].user)
    for name in (name for name in DOORS if ROUTES[name].count("<") > 1):
        for method in DOORS[name].methods():
            answer = sent(client, method, name, address(name, things | {"code": "OTHER"}))
            assert answer.status_code == 404, f"{method} {name}"


@pytest.mark.parametrize("name", sorted(ROUTES))
def test_nobody_enters_without_signing_in(place, undone, name):
    for method in ("get", "post"):
        answer = sent(Client(), method, name, address(name, place[0]))
        if name in PUBLIC:
            # A calendar feed is opened by a token alone; nobody has this one.
            assert answer.status_code in ({404, 405} if name == "crf:feed" else {200, 302, 405})
        elif ROUTES[name].startswith("api/"):
            assert answer.status_code == 403
        else:
            assert answer.status_code == 302 and answer.url.startswith("/sign-in/?next=")


@pytest.mark.parametrize("name", sorted(DOORS))
def test_a_door_answers_no_other_method(place, undone, name):
    client, things = Client(), place[0]
    client.force_login(User.objects.get(username="every-role"))
    known = DOORS[name].methods().keys() | ({"put"} if name == "crf:api-record" else set())
    for method in {"get", "post", "put", "patch", "delete"} - known:
        assert getattr(client, method)(address(name, things)).status_code == 405, method


def test_every_door_is_in_the_table():
    assert ROUTES.keys() == DOORS.keys() | PUBLIC
