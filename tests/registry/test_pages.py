"""The registry's pages: closed to strangers, whole in both languages, and each fragment inside its page."""

import json
import re

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.translation import override

from registry import jobs, wording
from registry.models import AuditEvent, Job
from registry.services import people
from tests.study import PASSWORD, enrol

pytestmark = pytest.mark.django_db


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator, name="张三", hospital_number="H-0815")


def texts(html):
    """The words of a page, so that a fragment can be found in its page whatever the spaces between."""
    return re.sub(r"\s+", " ", html)


PAGES = [
    ("studies", "coordinator", "研究", "Studies"),
    ("study", "coordinator", "入组进度", "Enrolment against target"),
    ("subjects", "coordinator", "入组日期", "Enrolled on"),
    ("audit", "monitor", "稽查轨迹", "Audit trail"),
    ("jobs", "administrator", "任务", "Jobs"),
    ("profile", "reader", "我的账号与角色", "My account and roles"),
]


@pytest.mark.parametrize(("name", "role", "zh", "en"), PAGES, ids=[page[0] for page in PAGES])
@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_a_page_speaks_the_chosen_language(signed_in, study, subject, name, role, zh, en, language):
    address = reverse(f"registry:{name}", args=[] if name in ("studies", "profile") else [study.code])
    html = signed_in(role, language).get(address).content.decode()
    assert (zh if language == "zh-hans" else en) in html
    assert f'<html lang="{"zh-Hans" if language == "zh-hans" else "en"}">' in html


def test_a_page_asks_for_nothing_that_the_policy_forbids(signed_in, study, subject):
    client = signed_in("coordinator")
    for address in (reverse("registry:study", args=[study.code]), reverse("registry:subjects", args=[study.code])):
        response = client.get(address)
        html = response.content.decode()
        assert "unsafe-inline" not in response["Content-Security-Policy"]
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style", html)
        assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", html))


def test_the_overview_counts_enrolment_of_the_sites_that_one_sees(signed_in, study, site, other_site, cast, subject):
    enrol(other_site, by=cast["stranger"])
    everything = signed_in("monitor").get(reverse("registry:study", args=[study.code])).context["enrolment"]
    own = signed_in("coordinator").get(reverse("registry:study", args=[study.code])).context["enrolment"]
    assert (everything.enrolled, everything.target) == (2, 50)
    assert (own.enrolled, own.target) == (1, 30)


def test_the_overview_offers_what_the_role_does_next(signed_in, study):
    def steps(role):
        page = signed_in(role).get(reverse("registry:study", args=[study.code]))
        return [str(step["label"]) for step in page.context["steps"]]

    assert steps("coordinator")[0] == "What is to be done today"
    assert "Enrol a subject" in steps("coordinator")
    assert "Export the audit trail" in steps("monitor")
    assert "Enrol a subject" not in steps("monitor")


def test_a_study_of_synthetic_data_says_so_on_each_page(signed_in, db):
    from registry.services import people
    from tests.study import DEFINITION, publish

    study = publish(code="MADEUP", synthetic=True).study
    person = people.User.objects.create(username="someone", full_name="Someone")
    people.grant(user=person, study=study, role="coordinator", by=people.system_user())
    from django.test import Client

    client = Client()
    client.force_login(person)
    for name in ("study", "subjects", "jobs"):
        assert "SYNTHETIC DATA" in client.get(reverse(f"registry:{name}", args=[study.code])).content.decode()
    assert DEFINITION["code"] != study.code


def test_the_list_finds_a_subject_by_part_of_the_number(signed_in, study, subject):
    client = signed_in("coordinator")
    address = reverse("registry:subjects", args=[study.code])
    assert subject.number in client.get(address, {"number": "0001"}).content.decode()
    assert "No subject matches" in client.get(address, {"number": "9999"}).content.decode()
    assert "No subject matches" in client.get(address, {"status": "withdrawn"}).content.decode()


def test_a_wrong_filter_is_no_error(signed_in, study, subject):
    page = signed_in("coordinator").get(reverse("registry:subjects", args=[study.code]), {"site": "77", "page": "x"})
    assert page.status_code == 200


@pytest.mark.parametrize("name", ["subjects", "audit"])
def test_the_fragment_that_htmx_gets_is_part_of_the_page(signed_in, study, subject, name):
    client = signed_in("monitor")
    address = reverse(f"registry:{name}", args=[study.code])
    page, fragment = client.get(address), client.get(address, headers={"HX-Request": "true"})
    assert "<html" not in fragment.content.decode()
    assert texts(fragment.content.decode()).strip() in texts(page.content.decode())


def test_without_the_right_a_page_of_ones_study_is_refused_in_ones_language(signed_in, study, subject):
    refused = [("reader", "subjects"), ("coordinator", "audit"), ("reader", "jobs"), ("statistician", "subjects")]
    for role, name in refused:
        response = signed_in(role, "zh-hans").get(reverse(f"registry:{name}", args=[study.code]))
        assert response.status_code == 403, (role, name)
        assert "您的角色无权执行此操作" in response.content.decode()


def test_what_is_not_there_is_a_page_too(signed_in):
    response = signed_in("coordinator", "zh-hans").get("/studies/NOWHERE/")
    assert response.status_code == 404
    assert "此处没有内容" in response.content.decode()


def test_an_identity_is_shown_at_the_own_site_and_the_view_is_recorded(signed_in, study, subject):
    address = reverse("registry:identity", args=[study.code, subject.number])
    before = AuditEvent.objects.filter(kind="identity.view").count()
    response = signed_in("coordinator").post(address, headers={"HX-Request": "true"})
    assert "张三" in response.content.decode() and response["Cache-Control"] == "no-store"
    assert AuditEvent.objects.filter(kind="identity.view").count() == before + 1


@pytest.mark.parametrize(("role", "status"), [("stranger", 404), ("monitor", 403), ("reader", 403)])
def test_nobody_else_sees_an_identity(signed_in, study, subject, role, status):
    response = signed_in(role).post(reverse("registry:identity", args=[study.code, subject.number]))
    assert response.status_code == status
    assert "张三" not in response.content.decode()
    assert not AuditEvent.objects.filter(kind="identity.view").exists()


def test_an_identity_is_never_opened_by_a_link(signed_in, study, subject):
    assert (
        signed_in("coordinator").get(reverse("registry:identity", args=[study.code, subject.number])).status_code == 405
    )


def test_a_running_job_asks_again_and_a_finished_one_stops(signed_in, study, cast):
    job = jobs.create(kind="nightly", study=study, by=cast["administrator"], total=10)
    address = reverse("registry:job", args=[study.code, job.pk])
    client = signed_in("administrator")
    fragment = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 1s"' in fragment and 'max="10"' in fragment
    jobs.Progress(job).finish({"auc": 0.8})
    assert "hx-trigger" not in client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "0.8" in client.get(address).content.decode()


def test_the_job_of_another_study_is_not_found(signed_in, study, cast):
    job = Job.objects.create(kind="nightly", study=None)
    assert signed_in("administrator").get(reverse("registry:job", args=[study.code, job.pk])).status_code == 404


def test_the_monitor_exports_the_lines_that_the_filters_choose(signed_in, study, subject):
    client = signed_in("monitor")
    response = client.post(reverse("registry:export-audit", args=[study.code]) + f"?subject={subject.number}")
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    rows = text.splitlines()
    assert rows[0].startswith("at,user,role,organisation,site,subject")
    assert len(rows) > 1 and all(f",{subject.number}," in row for row in rows[1:])
    assert AuditEvent.objects.filter(kind="audit.export").count() == 1


def test_an_unknown_subject_in_the_filter_exports_no_line_of_others(signed_in, study, subject):
    response = signed_in("monitor").post(reverse("registry:export-audit", args=[study.code]) + "?subject=99-9999")
    assert len(b"".join(response.streaming_content).decode("utf-8-sig").splitlines()) == 1


def test_looking_at_the_trail_is_not_the_right_to_take_it_along(signed_in, study):
    assert signed_in("pi").get(reverse("registry:audit", args=[study.code])).status_code == 200
    assert signed_in("pi").post(reverse("registry:export-audit", args=[study.code])).status_code == 403


def test_signing_in_leads_to_the_studies_in_the_language_of_the_account(client, cast):
    cast["coordinator"].language = "en"
    cast["coordinator"].save()
    response = client.post(
        reverse("registry:sign-in"), {"username": "coordinator", "password": PASSWORD}, REMOTE_ADDR="127.0.0.1"
    )
    assert response.url == reverse("registry:studies")
    assert ">Studies<" in client.get(response.url).content.decode()


def test_each_sign_in_and_sign_out_is_in_the_trail(client, cast):
    client.post(reverse("registry:sign-in"), {"username": "coordinator", "password": PASSWORD})
    client.post(reverse("registry:sign-out"))
    acts = AuditEvent.objects.filter(kind__startswith="account.sign").order_by("pk")
    assert [(act.kind, act.by, act.source) for act in acts] == [
        ("account.sign_in", cast["coordinator"], "web"),
        ("account.sign_out", cast["coordinator"], "web"),
    ]


def test_a_failed_sign_in_names_the_account_and_keeps_nothing_else_of_what_was_typed(client, cast):
    for typed in ({"username": "monitor", "password": "wr0ng"}, {"username": "my-passw0rd", "password": "wr0ng"}):
        client.post(reverse("registry:sign-in"), typed)
    client.post(reverse("registry:sign-in"), {"username": "monitor", "password": ""})
    acts = AuditEvent.objects.filter(kind="account.sign_in_failed").order_by("pk")
    assert [(act.details, act.by.username) for act in acts] == [({"username": "monitor"}, "system"), ({}, "system")]
    assert not AuditEvent.objects.filter(kind="account.sign_in").exists()


def test_five_wrong_passwords_lock_the_account_and_say_so(client, cast):
    for _attempt in range(5):
        answer = client.post(reverse("registry:sign-in"), {"username": "monitor", "password": "wrong"})
    assert answer.status_code == 429
    assert AuditEvent.objects.filter(kind="account.sign_in_failed").count() == 5
    assert "账号已锁定" in answer.content.decode()


def test_the_language_is_switched_by_a_button_and_stays(client, cast):
    client.force_login(cast["coordinator"])
    answer = client.post(reverse("registry:set-language"), {"language": "en", "next": "/account/"})
    assert answer.url == "/account/"
    assert "My account and roles" in client.get("/account/").content.decode()


ROLES = ["coordinator", "investigator", "pi", "monitor", "data_manager", "reader", "statistician", "administrator"]


@pytest.mark.parametrize("role", ROLES)
def test_the_overview_leads_nobody_to_a_page_that_refuses_them(signed_in, study, subject, role):
    client = signed_in(role)
    html = client.get(reverse("registry:study", args=[study.code])).content.decode()
    links = set(re.findall(r'(?:href|hx-get)="(/[^"#]*)"', html)) - {"/"}
    links = {link for link in links if not link.startswith("/static/")}
    assert len(links) >= 2
    for link in links:
        assert client.get(link).status_code == 200, link


def test_an_events_details_are_told_in_words():
    stored = json.dumps({"dataset": 2, "hash": "ab12" * 16, "headline": {"auc": 0.8}, "unnamed": 1})
    with override("zh-hans"):
        assert wording.details_shown(stored) == "数据集: 2 · 数据集哈希: ab12ab12ab12 · unnamed: 1"
    assert wording.details_shown("plain words") == "plain words"


def test_the_system_has_a_name_in_each_language(db):
    system = people.system_user()
    with override("zh-hans"):
        assert wording.person_name(system) == "系统"
    assert wording.person_name(None) == "—"


ELSEWHERE = ["//evil.example", "https://evil.example", "/\\\\evil.example", "javascript:alert(1)", "https:evil.example"]


@pytest.mark.parametrize("there", ELSEWHERE)
def test_no_door_sends_anybody_to_another_place(client, cast, there):
    person = {"username": "coordinator", "password": PASSWORD, "next": there}
    assert client.post(reverse("registry:sign-in"), person, REMOTE_ADDR="127.0.0.1").url == "/"
    assert client.get(reverse("registry:sign-in"), {"next": there}).url == "/"
    assert client.post(reverse("registry:set-language"), {"language": "en", "next": there}).url == "/"
    assert client.post(reverse("registry:set-language"), {"language": "en"}, headers={"referer": there}).url == "/"
    assert client.post(reverse("registry:sign-out"), {"next": there}).url == reverse("registry:sign-in")


def test_a_session_planted_before_the_sign_in_is_worth_nothing_and_one_signed_out_neither(client, cast, study):
    planted = client.session
    planted["mine"] = "yes"
    planted.save()
    client.cookies["sessionid"] = planted.session_key
    person = {"username": "coordinator", "password": PASSWORD}
    client.post(reverse("registry:sign-in"), person, REMOTE_ADDR="127.0.0.1")
    signed_in = client.cookies["sessionid"].value
    client.post(reverse("registry:sign-out"))
    for old in (planted.session_key, signed_in):
        client.cookies["sessionid"] = old
        assert client.get(reverse("registry:study", args=[study.code])).status_code == 302


def test_an_address_with_a_nul_is_a_bad_request_and_no_failure(signed_in, study):
    assert signed_in("coordinator").get(f"/studies/{study.code}/subjects/%00/").status_code == 400
    assert signed_in("coordinator").get(f"/api/studies/{study.code}/subjects/%00/records/").status_code == 400


def test_nobody_is_enrolled_before_the_calendar_begins(signed_in, study, site):
    answers = {"site": site.pk, "group": study.groups.get().pk, "enrolled_on": "0001-01-01"}
    assert signed_in("coordinator").post(reverse("crf:enrol-subject", args=[study.code]), answers).status_code == 422


def test_a_signer_who_guesses_is_locked_out_of_signing(study, cast):
    from registry.services import signatures

    for password in [*["wrong"] * 5, PASSWORD]:
        with pytest.raises(signatures.WrongPassword) as refusal:
            signatures.reauthenticate(password=password, study=study, by=cast["pi"])
    assert "15" in str(refusal.value)
    signatures.reauthenticate(password=PASSWORD, study=study, by=cast["investigator"])


def test_a_failed_job_quotes_no_row_of_the_database(study, cast):
    job = jobs.create(kind="image.intake", study=study, by=cast["administrator"])
    with pytest.raises(IntegrityError), jobs.running(job.pk), transaction.atomic():
        Job.objects.create(kind="secret-value", state="done", done=-1)
    job.refresh_from_db()
    assert job.error.startswith("IntegrityError: ") and "secret-value" not in job.error
