"""Entering: what is typed is kept for its author, files are checked and sealed, forms are entered twice."""

import datetime as dt
import json
import os
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar

from crf.definitions.model import Item, Text
from crf.definitions.values import BadValue
from crf.models import Attachment, CalendarFeed, Draft, Import, Presence, Record, SecondEntry
from crf.selectors.worklist import worklist
from crf.services import attachments, drafts, feeds, presence, records, second_entry
from registry.models import AuditEvent
from registry.services import people
from tests.study import DEFINITION, enrol, enter, publish

pytestmark = pytest.mark.django_db
SCAN = Item(name="scan", type="file", label=Text(zh="扫描件", en="Scan"))
PDF = b"%PDF-1.4\n%%EOF"


@pytest.fixture
def subject(site, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def visit(subject):
    return subject.visits.get(event="BASELINE")


def address(subject, name="crf:edit-record", *more, form="DM"):
    return reverse(name, args=[subject.study.code, subject.number, "BASELINE", 1, form, 1, *more])


def kept(visit, by, form="DM", revision=0, **fields):
    named = {name.replace("_", "-", 1): [text] for name, text in fields.items()}
    return drafts.keep(visit=visit, form=form, repeat=1, revision=revision, fields=named, by=by)


class TestDrafts:
    def test_the_page_shows_its_author_what_was_not_saved_and_the_save_forgets_it(
        self, signed_in, subject, visit, cast
    ):
        kept(visit, cast["coordinator"], value_age="52", comment_age="checked")
        client = signed_in("coordinator")
        page = client.get(address(subject)).content.decode()
        assert 'value="52"' in page and "not saved yet" in page and "Forget them" in page
        assert not Record.objects.exists(), "a draft is no data"
        client.post(address(subject), {"revision": "0", "act": "save", "value-age": "52", "value-sex": "M"})
        assert not Draft.objects.exists() and Record.objects.get().data["age"] == 52

    def test_nobody_else_sees_a_draft(self, signed_in, subject, visit, cast):
        kept(visit, cast["coordinator"], value_age="52")
        for role in ("investigator", "monitor", "data_manager"):
            assert 'value="52"' not in signed_in(role).get(address(subject)).content.decode()

    def test_the_newest_fields_replace_those_before_and_can_be_forgotten(self, signed_in, subject, visit, coordinator):
        kept(visit, coordinator, value_age="5")
        kept(visit, coordinator, value_age="52", act="complete", csrfmiddlewaretoken="x")
        assert Draft.objects.get().fields == {"value-age": ["52"]}
        signed_in("coordinator").post(address(subject, "crf:discard-draft"))
        assert not Draft.objects.exists()

    def test_a_draft_ends_after_thirty_days_untouched(self, visit, coordinator):
        kept(visit, coordinator, value_age="52")
        Draft.objects.update(saved_at=timezone.now() - dt.timedelta(days=31))
        assert drafts.own_draft(visit=visit, form="DM", repeat=1, user=coordinator) is None
        kept(visit, coordinator, form="LB", value_albumin="3")
        assert [draft.form for draft in Draft.objects.all()] == ["LB"]

    def test_a_draft_on_an_older_revision_is_compared_before_it_is_saved(self, signed_in, subject, visit, cast):
        enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"])
        kept(visit, cast["coordinator"], revision=1, value_age="53", value_sex="M")
        enter(subject, "DM", {"age": "54"}, by=cast["investigator"], reason="source")
        page = signed_in("coordinator").get(address(subject)).content.decode()
        assert 'name="choice-age"' in page and 'value="53"' in page and 'name="revision" value="1"' in page

    def test_a_draft_of_what_is_saved_already_is_not_offered(self, signed_in, subject, visit, cast):
        enter(subject, "DM", {"age": "52"}, by=cast["coordinator"])
        kept(visit, cast["coordinator"], revision=0, value_age="52")
        assert "Forget them" not in signed_in("coordinator").get(address(subject)).content.decode()

    def test_more_than_a_page_can_hold_is_not_kept(self, signed_in, subject):
        answer = signed_in("coordinator").post(address(subject, "crf:draft"), {"value-age": "x" * 2_100_000})
        assert answer.status_code == 422 and not Draft.objects.exists()

    def test_who_may_not_enter_keeps_no_draft(self, visit, cast):
        with pytest.raises(PermissionDenied):
            kept(visit, cast["monitor"], value_age="1")


class TestConflicts:
    @pytest.fixture
    def changed(self, subject, cast):
        """Revision 2 has another age than the coordinator's page, opened on revision 1."""
        enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"])
        return enter(subject, "DM", {"age": "54"}, by=cast["investigator"], reason="source")

    def send(self, client, subject, **more):
        fields = {"revision": "1", "act": "save", "value-age": "53", "value-sex": "M", "reason-code": "source"}
        return client.post(address(subject), fields | more)

    def test_a_question_that_nobody_answered_is_asked_again(self, signed_in, subject, changed):
        client = signed_in("coordinator")
        for more in ({}, {"compared": "2"}, {"compared": "1", "choice-age": "mine"}, {"choice-age": "mine"}):
            assert self.send(client, subject, **more).status_code == 409
        assert Record.objects.get().revision == 2

    @pytest.mark.parametrize(("side", "age"), [("mine", 53), ("theirs", 54)])
    def test_the_answer_that_was_chosen_is_saved(self, signed_in, subject, changed, side, age):
        more = {"compared": "2", "choice-age": side, "value-sex": "F"}
        assert self.send(signed_in("coordinator"), subject, **more).status_code == 302
        record = Record.objects.get()
        assert (record.revision, record.data["age"], record.data["sex"]) == (3, age, "F")

    def test_what_only_one_changed_merges_and_is_shown(self, signed_in, subject, changed):
        client = signed_in("coordinator")
        page = self.send(client, subject, **{"value-age": "52", "value-sex": "F"})
        assert page.status_code == 409 and b"Taken over" in page.content and b'value="54"' in page.content
        answer = self.send(client, subject, **{"compared": "2", "value-age": "54", "value-sex": "F"})
        assert answer.status_code == 302 and Record.objects.get().data | {} == {"age": 54, "sex": "F"}

    def test_what_is_sent_twice_is_saved_once_and_asks_nothing(self, signed_in, subject):
        client = signed_in("coordinator")
        fields = {"revision": "0", "act": "complete", "value-age": "53", "value-sex": "M"}
        assert [client.post(address(subject), fields).status_code for _click in range(2)] == [302, 302]
        assert (Record.objects.get().revision, Record.objects.get().status) == (1, "complete")

    def test_a_third_save_in_between_is_compared_too(self, signed_in, subject, changed, cast):
        enter(subject, "DM", {"age": "55"}, by=cast["investigator"], reason="source")
        more = {"compared": "2", "choice-age": "mine"}
        assert self.send(signed_in("coordinator"), subject, **more).status_code == 409
        assert Record.objects.get().data["age"] == 55

    def test_comments_are_compared_like_answers(self, signed_in, subject, cast):
        enter(subject, "DM", {"age": "15"}, by=cast["coordinator"], comments={"age": "first"})
        enter(subject, "DM", {}, by=cast["investigator"], comments={"age": "theirs"}, reason="source")
        fields = {"value-age": "15", "value-sex": "", "comment-age": "mine"}
        page = self.send(signed_in("coordinator"), subject, **fields)
        assert page.status_code == 409 and b'name="choice-comment:age"' in page.content
        more = {**fields, "compared": "2", "choice-comment:age": "theirs"}
        self.send(signed_in("coordinator"), subject, **more)
        assert Record.objects.get().comments == {"age": "theirs"}


class TestPresence:
    def test_two_people_on_one_record_see_each_other(self, signed_in, subject, visit, cast):
        presence.seen(visit=visit, form="DM", repeat=1, typing=True, by=cast["investigator"])
        shown = signed_in("coordinator").post(address(subject, "crf:presence"), {"revision": "0"}).content.decode()
        assert "Investigator is typing here" in shown
        seen = presence.seen(visit=visit, form="DM", repeat=1, typing=False, by=cast["investigator"])
        assert [one.user.username for one in seen] == ["coordinator"]

    def test_who_left_or_fell_silent_is_not_there(self, visit, cast):
        presence.seen(visit=visit, form="DM", repeat=1, typing=False, by=cast["coordinator"])
        Presence.objects.update(seen_at=timezone.now() - dt.timedelta(minutes=1))
        assert presence.seen(visit=visit, form="DM", repeat=1, typing=False, by=cast["investigator"]) == []
        presence.left(visit=visit, form="DM", repeat=1, by=cast["investigator"])
        assert presence.seen(visit=visit, form="DM", repeat=1, typing=False, by=cast["coordinator"]) == []

    def test_a_newer_revision_is_announced(self, signed_in, subject, cast):
        enter(subject, "DM", {"age": "52"}, by=cast["investigator"])
        shown = signed_in("coordinator").post(address(subject, "crf:presence"), {"revision": "0"}).content.decode()
        assert "Investigator saved revision 1 meanwhile" in shown


class TestSoftFindings:
    def test_completing_asks_why_an_unusual_value_stands(self, signed_in, subject):
        client = signed_in("coordinator")
        fields = {"revision": "0", "act": "complete", "value-age": "15", "value-sex": "M"}
        answer = client.post(address(subject), fields)
        assert answer.status_code == 422 and not Record.objects.exists()
        assert client.post(address(subject), fields | {"comment-age": "seen on the ID card"}).status_code == 302
        assert Record.objects.get().status == "complete"

    def test_an_unusual_derived_value_can_be_explained_where_it_stands(self, signed_in, subject):
        forms = json.loads(json.dumps(DEFINITION["forms"]))
        forms[1]["sections"][0]["items"][3]["soft_range"] = [-2.0, 0.0]
        publish(version="2.0", forms=forms)
        client, url = signed_in("coordinator"), address(subject, form="LB")
        fields = {"revision": "0", "act": "complete", "value-albumin": "40", "value-bilirubin": "10"}
        answer = client.post(url, fields)
        assert answer.status_code == 422 and b'name="comment-albi_score"' in answer.content
        assert client.post(url, fields | {"comment-albi_score": "both results were repeated"}).status_code == 302
        assert Record.objects.get().status == "complete"

    def test_a_save_in_progress_and_a_file_are_not_asked(self, signed_in, subject, coordinator):
        fields = {"revision": "0", "act": "save", "value-age": "15", "value-sex": "M"}
        assert signed_in("coordinator").post(address(subject), fields).status_code == 302
        assert enter(subject, "DM", {}, by=coordinator, source="import", complete=True).status == "complete"

    def test_a_change_of_a_complete_form_to_an_unusual_value_is_explained_too(self, signed_in, subject, cast):
        enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
        fields = {"revision": "1", "act": "save", "value-age": "85", "value-sex": "M", "reason-code": "source"}
        client = signed_in("coordinator")
        refused = client.post(address(subject), fields)
        assert refused.status_code == 422 and b"say why" in refused.content
        assert client.post(address(subject), fields | {"comment-age": "seen on the ID card"}).status_code == 302
        assert Record.objects.get().status == "complete"

    def test_a_complete_form_that_nobody_changes_asks_for_nothing(self, signed_in, subject, cast):
        enter(subject, "DM", {"age": "85", "sex": "M"}, by=cast["coordinator"], source="import", complete=True)
        fields = {"revision": "1", "act": "save", "value-age": "85", "value-sex": "M"}
        assert signed_in("coordinator").post(address(subject), fields).status_code == 302


class TestFiles:
    @pytest.fixture(autouse=True)
    def _folder(self, settings, tmp_path):
        settings.STORAGES = settings.STORAGES | {
            "default": {**settings.STORAGES["default"], "OPTIONS": {"location": str(tmp_path)}}
        }

    def add(self, subject, by, content=PDF, name="scan.pdf"):
        return attachments.add(subject=subject, form="DM", item=SCAN, upload=SimpleUploadedFile(name, content), by=by)

    def test_a_file_comes_back_as_it_was_and_lies_sealed(self, subject, coordinator):
        content = PDF + bytes(range(256)) * 9000
        value = self.add(subject, coordinator, content)
        row = Attachment.objects.get()
        assert b"".join(attachments.content(row)) == content
        stored = default_storage.open(row.key).read()
        assert b"PDF" not in stored and value == attachments.value_of(row) and value["size"] == len(content)
        assert AuditEvent.objects.get(kind="file.add").details["hash"] == value["sha256"]

    @pytest.mark.parametrize("change", [lambda b: b[:-30], lambda b: b[:50] + b"x" + b[51:], lambda b: b""])
    def test_a_file_that_was_changed_or_cut_in_the_storage_is_not_served(self, subject, coordinator, change):
        self.add(subject, coordinator, PDF + bytes(3_000_000))
        row = Attachment.objects.get()
        path = Path(default_storage.path(row.key))
        path.write_bytes(change(path.read_bytes()))
        with pytest.raises(attachments.Damaged):
            list(attachments.content(row))

    def test_it_is_a_download_and_nothing_else(self, signed_in, subject, cast):
        value = self.add(subject, cast["coordinator"], name="结果 <x>.pdf")
        answer = signed_in("monitor").get(address(subject, "crf:file", value["file"]))
        assert b"".join(answer.streaming_content) == PDF
        assert answer["Content-Disposition"].startswith("attachment") and answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Type"] == "application/octet-stream" and "no-store" in answer["Cache-Control"]

    def test_no_address_leads_to_the_storage(self, signed_in, subject, cast, settings):
        self.add(subject, cast["coordinator"])
        row, client = Attachment.objects.get(), signed_in("coordinator")
        for root in ("/", "/media/", "/static/", "/storage/", "/var/storage/"):
            assert client.get(f"{root}{row.key}").status_code == 404
        served = [
            settings.STATIC_ROOT,
            *(one[1] if isinstance(one, tuple) else one for one in settings.STATICFILES_DIRS),
        ]
        folder = Path(os.environ["STORAGE_FOLDER"]).resolve()
        assert not settings.MEDIA_URL.strip("/") and not settings.MEDIA_ROOT
        assert not any(folder.is_relative_to(Path(one).resolve()) for one in served)

    def test_it_is_found_under_its_own_subject_only(self, signed_in, subject, site, cast):
        value = self.add(subject, cast["coordinator"])
        other = enrol(site, by=cast["coordinator"])
        assert signed_in("coordinator").get(address(other, "crf:file", value["file"])).status_code == 404
        assert signed_in("stranger").get(address(subject, "crf:file", value["file"])).status_code == 404
        assert signed_in("reader").get(address(subject, "crf:file", value["file"])).status_code == 403

    def test_what_is_no_such_file_is_refused_and_leaves_nothing(self, subject, coordinator):
        with pytest.raises(BadValue):
            self.add(subject, coordinator, b"<html>", "scan.pdf")
        assert not Attachment.objects.exists()

    def test_no_file_changes_or_leaves(self, subject, coordinator):
        self.add(subject, coordinator)
        for act in (lambda: Attachment.objects.update(name="x"), lambda: Attachment.objects.all().delete()):
            with pytest.raises(ProgrammingError), transaction.atomic():
                act()

    def test_a_record_takes_its_own_subjects_files_only(self, site, coordinator, study):
        item = {"name": "scan", "type": "file", "label": {"zh": "扫描件", "en": "Scan"}}
        forms = json.loads(json.dumps(DEFINITION["forms"]))
        forms[0]["sections"][0]["items"].append(item)
        publish(version="2.0", forms=forms)
        first, second = enrol(site, by=coordinator), enrol(site, by=coordinator)
        value = self.add(first, coordinator)
        with pytest.raises(records.RecordRefused):
            enter(second, "DM", {"scan": value}, by=coordinator)
        with pytest.raises(records.RecordRefused):
            enter(first, "DM", {"scan": value | {"name": "other.pdf"}}, by=coordinator)
        assert enter(first, "DM", {"scan": value}, by=coordinator).data["scan"] == value


class TestDoubleEntry:
    PAPER = {"age": "52", "sex": "M"}

    @pytest.fixture
    def first(self, site, coordinator, study):
        """A form whose first entry is finished."""
        forms = [form | {"double_entry": form["oid"] == "DM"} for form in DEFINITION["forms"]]
        publish(version="2.0", forms=forms)
        return enter(enrol(site, by=coordinator), "DM", self.PAPER, by=coordinator, complete=True)

    def test_it_is_not_complete_before_another_person_typed_the_same(self, first, cast):
        assert first.status == "in_progress"
        with pytest.raises(records.RecordRefused, match="another person"):
            second_entry.enter(record=first, data=self.PAPER, by=cast["coordinator"])
        made = second_entry.enter(record=first, data=self.PAPER, by=cast["investigator"])
        assert made.status == SecondEntry.Status.AGREED
        first.refresh_from_db()
        assert first.status == "complete"
        assert first.history.first().history_user == cast["investigator"]

    def test_no_way_around_completes_it(self, first, cast):
        again = enter(first.subject, "DM", self.PAPER, by=cast["investigator"], complete=True)
        assert again.status == "in_progress"

    def test_differences_are_decided_by_the_second_or_a_third_person_with_a_reason(self, first, cast):
        made = second_entry.enter(record=first, data={"age": "53", "sex": "M"}, by=cast["investigator"])
        assert made.status == SecondEntry.Status.DIFFERS
        assert [(one.address, one.theirs, one.mine) for one in second_entry.differences(first, made)] == [
            ("age", 52, 53)
        ]
        decide = {"record": first, "choices": {"age": "second"}, "reason": "compared with the paper"}
        with pytest.raises(records.RecordRefused):
            second_entry.resolve(**decide, by=cast["coordinator"])
        with pytest.raises(records.ReasonNeeded):
            second_entry.resolve(**decide | {"reason": " "}, by=cast["data_manager"])
        with pytest.raises(records.RecordRefused):
            second_entry.resolve(**decide | {"choices": {}}, by=cast["data_manager"])
        result = second_entry.resolve(**decide, by=cast["data_manager"])
        assert result.record.status == "complete" and result.record.data["age"] == 53
        assert result.record.history.first().history_change_reason == "compared with the paper"
        assert [row.status for row in made.history.order_by("pk")] == ["awaited", "differs", "agreed"]

    def test_the_second_person_is_blind_to_the_first_entry(self, first, signed_in, cast):
        subject, client = first.subject, signed_in("investigator")
        assert client.get(address(subject)).headers["Location"] == address(subject, "crf:second-entry")
        page = client.get(address(subject, "crf:second-entry")).content.decode()
        assert 'value="52"' not in page and "Second entry" in page
        assert client.get(address(subject, "crf:record-history")).status_code == 403
        api = "/api" + address(subject)
        assert client.get(api).status_code == 403
        assert b"52" not in client.get(reverse("crf:api-records", args=[subject.study.code, subject.number])).content
        assert 'value="52"' in signed_in("coordinator").get(address(subject)).content.decode()

    def test_on_the_pages_from_the_second_entry_to_agreement(self, first, signed_in, cast):
        subject, client = first.subject, signed_in("investigator")
        sent = client.post(address(subject, "crf:second-entry"), {"value-age": "53", "value-sex": "M"})
        compare = address(subject, "crf:compare-entries")
        assert sent.headers["Location"] == compare
        assert b'name="choice-age"' in client.get(compare).content
        assert client.post(compare, {"choice-age": "first"}).status_code == 422
        assert client.post(compare, {"choice-age": "first", "reason": "read the paper"}).status_code == 302
        first.refresh_from_db()
        assert first.status == "complete" and first.data["age"] == 52


class TestWorkAndCalendar:
    def test_each_role_finds_its_own_work(self, subject, cast):
        enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
        enter(subject, "LB", {"lb_date": "2026-03-02"}, by=cast["coordinator"])

        def kinds(role):
            return {task.kind for task in worklist(subject.study, cast[role])}

        assert {"in_progress", "overdue"} <= kinds("coordinator") and "to_sign" not in kinds("coordinator")
        assert kinds("pi") == {"to_sign"} and kinds("monitor") == {"to_verify"}
        assert kinds("stranger") == set(), "another site's work is not shown"
        file = {"file_name": "labs.csv", "key": "x", "size": 1, "sha256": "x", "format": "csv"}
        Import.objects.create(study=subject.study, by=cast["data_manager"], **file)
        Import.objects.create(study=subject.study, by=cast["coordinator"], state="done", **file)
        assert "imports" in kinds("data_manager") and "imports" not in kinds("coordinator")

    def test_a_visit_that_was_begun_waits_until_each_of_its_forms_is_entered(self, signed_in, subject, cast):
        enter(subject, "LB", {"lb_date": "2026-03-02"}, by=cast["coordinator"], complete=True)
        study, client = subject.study, signed_in("coordinator")
        (task,) = [task for task in worklist(study, cast["coordinator"]) if task.kind == "unfinished"]
        assert [(visit.subject, visit.event) for visit in task.rows] == [(subject, "BASELINE")]
        page = client.get(f"/studies/{study.code}/today/").content.decode()
        assert "Visits with forms still to enter" in page and f'href="{address(subject)}"' in page
        board = f"/studies/{study.code}/casebooks/?state=in_progress"
        assert subject.number in client.get(board).content.decode()
        enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
        enter(subject, "AE", {"ae_term": "Rash"}, by=cast["coordinator"], event="LOG", complete=True)
        assert "unfinished" not in {task.kind for task in worklist(study, cast["coordinator"])}
        assert f"subjects/{subject.number}/" not in client.get(board).content.decode()

    def test_a_changed_record_waits_for_verification_again(self, subject, cast):
        record = enter(subject, "DM", {"age": "52", "sex": "M"}, by=cast["coordinator"], complete=True)
        records.verify(record=record, by=cast["monitor"])
        enter(subject, "DM", {"age": "53"}, by=cast["coordinator"], reason="source")
        assert "changed_after_verification" in {task.kind for task in worklist(subject.study, cast["monitor"])}

    def test_the_feed_holds_numbers_visits_and_windows_of_the_own_sites_only(self, client, site, other_site, cast):
        today = timezone.localdate()
        mine = enrol(site, by=cast["coordinator"], on=today, name="王小明", hospital_number="HN77")
        theirs = enrol(other_site, by=cast["stranger"], on=today)
        token = feeds.make(study=site.study, language="en", by=cast["coordinator"])
        answer = client.get(f"/calendar/{token}.ics")
        assert answer["Content-Type"].startswith("text/calendar")
        events = Calendar.from_ical(answer.content).walk("VEVENT")
        assert [str(event["summary"]) for event in events] == [f"{mine.number} Baseline"]
        text = answer.content.decode()
        assert "王小明" not in text and "HN77" not in text and theirs.number not in text

    def test_an_address_ends_with_a_new_one_a_revocation_or_the_role(self, client, study, cast):
        coordinator = cast["coordinator"]
        first = feeds.make(study=study, language="en", by=coordinator)
        second = feeds.make(study=study, language="en", by=coordinator)
        assert first not in CalendarFeed.objects.get().token_hash
        status = [client.get(f"/calendar/{token}.ics").status_code for token in (first, second, "x")]
        assert status == [404, 200, 404]
        held = coordinator.memberships.get()
        people.revoke(
            membership=held,
            valid_to=timezone.localdate() - dt.timedelta(days=1),
            reason="left",
            by=people.system_user(),
        )
        assert client.get(f"/calendar/{second}.ics").status_code == 404
        again = feeds.make(study=study, language="en", by=cast["pi"])
        feeds.revoke(study=study, by=cast["pi"])
        assert client.get(f"/calendar/{again}.ics").status_code == 404

    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    def test_calendar_board_and_work_list_are_shown(self, signed_in, subject, coordinator, language):
        enter(subject, "DM", {"age": "52"}, by=coordinator)
        client, code = signed_in("coordinator", language), subject.study.code
        for path in ("calendar/?month=2026-03", "calendar/?month=9999-99", "casebooks/", "today/"):
            answer = client.get(f"/studies/{code}/{path}")
            assert answer.status_code == 200 and (subject.number in answer.content.decode() or "9999" in path), path

    @pytest.mark.parametrize(
        ("state", "found"), [("overdue", True), ("in_progress", True), ("signed", False), ("queried", False)]
    )
    def test_the_board_is_filtered_by_state(self, signed_in, subject, coordinator, state, found):
        enter(subject, "DM", {"age": "52"}, by=coordinator)
        enter(subject, "LB", {"lb_date": "2026-03-02"}, by=coordinator)
        page = signed_in("coordinator").get(f"/studies/{subject.study.code}/casebooks/?state={state}").content.decode()
        assert (f"subjects/{subject.number}/" in page) is found

    @pytest.mark.parametrize(
        ("to", "where"), [("01-0001", ""), ("01-0001 dm", "visits/BASELINE/1/DM/1/"), ("01-0001 Nope", "")]
    )
    def test_a_number_jumps_to_its_casebook_and_a_form_code_to_the_form(self, signed_in, subject, to, where):
        answer = signed_in("coordinator").get(f"/studies/{subject.study.code}/jump/", {"to": to})
        assert answer.headers["Location"] == f"/studies/{subject.study.code}/subjects/{subject.number}/{where}"

    def test_a_number_of_another_site_leads_nowhere(self, signed_in, subject):
        answer = signed_in("stranger").get(f"/studies/{subject.study.code}/jump/", {"to": subject.number})
        assert "casebooks" in answer.headers["Location"]


def test_json_that_nests_without_end_is_a_bad_request(signed_in, subject):
    client, url = signed_in("coordinator"), "/api" + address(subject)
    for depth in (30, 900, 100_000):
        body = '{"data": {"age": ' + "[" * depth + "]" * depth + "}}"
        assert client.put(url, body, content_type="application/json").status_code == 400, depth


class TestCost:
    """Pages and saves ask the database a small, constant number of questions, however much there is."""

    def queries(self, act):
        with CaptureQueriesContext(connection) as asked:
            assert act().status_code in (200, 302)
        return len([one for one in asked.captured_queries if "SAVEPOINT" not in one["sql"]])

    @pytest.fixture
    def fuller(self, subject, coordinator):
        """What makes the subject's casebook longer, and the study larger."""

        def fill():
            for number in range(2, 7):
                enter(subject, "AE", {"ae_term": f"Event {number}"}, by=coordinator, event="LOG", repeat=number)
            for _subject in range(4):
                enter(enrol(subject.site, by=coordinator), "DM", {"age": "40"}, by=coordinator)

        return fill

    @pytest.mark.parametrize(
        ("path", "most"),
        [
            ("subjects/01-0001/", 16),
            ("subjects/01-0001/visits/BASELINE/1/DM/1/", 16),
            ("casebooks/", 16),
            ("calendar/?month=2026-03", 16),
            ("today/", 36),
        ],
    )
    def test_a_page_asks_as_much_of_a_full_study_as_of_an_empty_one(
        self, signed_in, subject, coordinator, fuller, path, most
    ):
        enter(subject, "DM", {"age": "52", "sex": "M"}, by=coordinator)
        enter(subject, "AE", {"ae_term": "Event"}, by=coordinator, event="LOG", repeat=1)
        client, url = signed_in("coordinator"), f"/studies/{subject.study.code}/{path}"
        client.get(url)
        before = self.queries(lambda: client.get(url))
        fuller()
        after = self.queries(lambda: client.get(url))
        assert after <= before + 2 and after <= most, "kinds of work that begin to exist list their rows"

    def test_a_save_asks_as_much_with_many_records_as_with_one(self, signed_in, subject, coordinator, fuller):
        client = signed_in("coordinator")

        def save(revision, age):
            fields = {"revision": str(revision), "act": "save", "value-age": age, "value-sex": "M"}
            return client.post(address(subject), fields | {"reason-code": "source"})

        save(0, "50")
        before = self.queries(lambda: save(1, "51"))
        fuller()
        assert self.queries(lambda: save(2, "52")) <= before <= 24
