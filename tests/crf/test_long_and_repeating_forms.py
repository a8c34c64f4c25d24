"""Rows, units, files and long forms on the entry page: typed, kept, addressed, shown again, with and without script."""

from __future__ import annotations

import html as escaping
import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from crf.models import Attachment, Record
from crf.selectors import record_changes
from crf.services import records
from tests.browser import page_of
from tests.study import DEFINITION, both, enrol, publish

pytestmark = pytest.mark.django_db

MEDS = {
    "name": both("Medication"),
    "rows": {"name": "meds", "max": 3},
    "items": [
        {"name": "drug", "type": "text", "label": both("Drug"), "required": True},
        {"name": "dose", "type": "decimal", "label": both("Dose"), "unit": "mg", "soft_range": [0, 100]}
        | {"units": [{"unit": "g", "factor": 1000}]},
        {"name": "times", "type": "integer", "label": both("Times a day")},
        {"name": "daily", "type": "derived", "value_type": "decimal", "label": both("Daily"), "derive": "dose * times"},
        {"name": "ongoing", "type": "choice", "codelist": "SEX", "label": both("Ongoing")},
        {"name": "why", "type": "text", "label": both("Why stopped"), "show_if": "ongoing == 'F'"},
    ],
}
LAB = {
    "name": both("Blood"),
    "items": [
        {"name": "alt", "type": "decimal", "label": both("ALT"), "unit": "U/L", "lab": "ALT", "ctcae": "ALT increased"}
        | {"definition": both("Serum ALT"), "guideline": both("Take the first sample of the day")},
        {"name": "bili", "type": "decimal", "label": both("Bilirubin"), "unit": "µmol/L", "precision": 1}
        | {"units": [{"unit": "mg/dL", "factor": 17.104}]},
        {"name": "scan", "type": "file", "label": both("Report"), "file": {"types": ["pdf"], "max_mb": 1}},
        {"name": "total", "type": "derived", "value_type": "decimal", "label": both("All doses")}
        | {"derive": "sum(meds.map(r, r.daily))"},
    ],
}
LONG = {
    "name": both("Many"),
    "items": [{"name": f"q{number}", "type": "integer", "label": both(f"Question {number}")} for number in range(230)],
}


@pytest.fixture
def rich():
    """The study with a form of rows and one of more items than a page takes."""
    forms = [
        {"oid": "CM", "name": both("Medication"), "sections": [LAB, MEDS]},
        {"oid": "LONG", "name": both("Long"), "sections": [LONG | {"name": both("First")}, MEDS]},
    ]
    forms[1]["sections"][0]["items"][229] |= {"required": True}
    events = [*DEFINITION["events"][:2], DEFINITION["events"][2] | {"forms": ["AE", "CM", "LONG"]}]
    labs = {"ALT": {"name": both("ALT"), "ranges": [{"low": 9, "high": 50, "unit": "U/L"}]}}
    return publish(version="2.0", forms=[*DEFINITION["forms"], *forms], events=events, labs=labs)


@pytest.fixture
def subject(site, rich, coordinator):
    return enrol(site, by=coordinator)


@pytest.fixture
def signed_in(client, coordinator):
    client.force_login(coordinator)
    client.cookies["django_language"] = "en"
    return client


def address(subject, form="CM", name="crf:edit-record", item=None):
    return reverse(name, args=[subject.study.code, subject.number, "LOG", 1, form, 1, *([item] if item else [])])


def row(number, **values):
    """The fields of one row as a browser sends them."""
    sent = {f"value-meds[{number}].{name}": value for name, value in values.items() if not name.startswith("unit_")}
    sent |= {
        f"unit-meds[{number}].{name.removeprefix('unit_')}": value
        for name, value in values.items()
        if name.startswith("unit_")
    }
    return sent


def send(client, subject, fields, rows=(), form="CM", revision=0, act="save", **more):
    posted = {"revision": str(revision), "act": act, "row-meds": [str(number) for number in rows], **fields, **more}
    return client.post(address(subject, form), posted)


def text(response):
    return escaping.unescape(response.content.decode())


def saved(form="CM"):
    return Record.objects.get(form=form)


def test_rows_are_saved_and_a_blank_one_is_none(signed_in, subject):
    fields = row(1, drug="x", dose="5", times="2") | row(2, drug="y") | row(3)
    assert send(signed_in, subject, fields, rows=[1, 2, 3]).status_code == 302
    assert saved().data["meds"] == [
        {"row": 1, "drug": "x", "dose": 5, "times": 2, "daily": 10},
        {"row": 2, "drug": "y"},
    ]


def test_the_page_shows_rows_again_and_one_blank_row_with_the_next_number(signed_in, subject):
    send(signed_in, subject, row(1, drug="x") | row(2, drug="y"), rows=[1, 2])
    page = text(signed_in.get(address(subject)))
    assert 'name="value-meds[2].drug" value="y"' in page
    assert 'name="row-meds" value="3"' in page
    assert re.search(r'data-row="3"[^>]*>|is-blank" data-row="3"', page)


def test_a_removed_rows_number_is_not_given_again(signed_in, subject):
    send(signed_in, subject, row(1, drug="x") | row(2, drug="y"), rows=[1, 2])
    gone = {"remove-meds": "2", "reason-code": "entry_error", "reason-text": "twice"}
    send(signed_in, subject, row(1, drug="x") | row(2, drug="y") | gone, rows=[1, 2], revision=1)
    assert saved().data["meds"] == [{"row": 1, "drug": "x"}]
    page = text(signed_in.get(address(subject)))
    assert 'name="row-meds" value="3"' in page
    assert 'name="row-meds" value="2"' not in page
    send(signed_in, subject, row(1, drug="x") | row(2, drug="new"), rows=[1, 2], revision=2)
    assert saved().data["meds"] == [{"row": 1, "drug": "x"}, {"row": 3, "drug": "new"}]


def test_removing_a_row_needs_a_reason_and_adding_one_does_not(signed_in, subject):
    send(signed_in, subject, row(1, drug="x"), rows=[1])
    assert send(signed_in, subject, row(1, drug="x") | row(2, drug="y"), rows=[1, 2], revision=1).status_code == 302
    assert send(signed_in, subject, row(1, drug="x"), rows=[1], revision=2).status_code == 422
    assert len(saved().data["meds"]) == 2


def test_the_history_tells_of_the_answer_that_changed_not_of_all_rows(signed_in, subject):
    send(signed_in, subject, row(1, drug="x", dose="5") | row(2, drug="y"), rows=[1, 2])
    fields = row(1, drug="x", dose="6") | row(2, drug="y") | {"reason-code": "entry_error"}
    send(signed_in, subject, fields, rows=[1, 2], revision=1)
    changes = [one for one in record_changes(saved()) if one.revision == 2]
    assert [(one.item, one.old, one.new) for one in changes] == [("meds[1].dose", 5, 6)]
    shown = text(signed_in.get(address(subject, name="crf:item-history", item="meds[1].dose")))
    assert "Medication #1: Dose" in shown
    assert signed_in.get(address(subject, name="crf:item-history", item="meds[1].nothing")).status_code == 404


def test_what_is_wrong_in_a_row_stands_beside_it_and_is_kept_as_typed(signed_in, subject):
    response = send(signed_in, subject, row(1, drug="x", dose="five"), rows=[1])
    page = text(response)
    assert response.status_code == 422
    assert 'value="five"' in page
    assert '<a href="#item-meds[1].dose">Medication(' not in page
    assert '<a href="#item-meds[1].dose">Medication #1: Dose</a>' in page
    assert not Record.objects.exists()


def test_typing_is_weighed_row_by_row(signed_in, subject):
    fields = row(1, drug="", dose="500", times="2", ongoing="F") | row(2)
    posted = {"row-meds": ["1", "2"], "revision": "0", "names-required": "yes", "value-alt": "151", **fields}
    state = text(signed_in.post(address(subject, name="crf:evaluate-record"), posted))
    assert '<template data-item="meds[1].dose" data-hard="no" data-soft="yes">' in state
    assert '<template data-item="meds[1].drug"' in state
    assert '<template data-item="meds[2].drug"' not in state
    assert '<template data-derived="meds[1].daily">1000</template>' in state
    assert '<template data-derived="total">1000</template>' in state
    assert "meds[1].why" not in re.search(r'data-hidden="([^"]*)"', state)[1]
    assert "meds[2].why" in re.search(r'data-hidden="([^"]*)"', state)[1]
    assert re.search(
        r'data-result="alt" data-tone="high">H high \(normal range 9–50 U/L\) · CTCAE 5.0 .* grade 2<', state
    )


def test_a_number_is_kept_in_the_items_own_unit_and_shown_as_it_was_typed(signed_in, subject):
    send(
        signed_in,
        subject,
        {"value-bili": "1.2", "unit-bili": "mg/dL"} | row(1, drug="x", dose="0.5", unit_dose="g"),
        rows=[1],
    )
    assert saved().data["bili"] == 20.5
    assert saved().data["meds"][0]["dose"] == 500
    assert saved().data["_typed"] == {
        "bili": {"value": "1.2", "unit": "mg/dL"}, "meds[1].dose": {"value": "0.5", "unit": "g"},
    }  # fmt: skip
    page = text(signed_in.get(address(subject)))
    assert re.search(r'name="value-bili" value="1.2"', page)
    assert re.search(r'<option value="mg/dL" selected>', page)
    assert "typed as 1.2 mg/dL" in text(signed_in.get(address(subject, name="crf:record-history")))
    same = {"value-bili": "1.2", "unit-bili": "mg/dL"} | row(1, drug="x", dose="0.5", unit_dose="g")
    send(signed_in, subject, same, rows=[1], revision=1)
    assert saved().revision == 1


def test_guidance_is_behind_a_disclosure_that_a_keyboard_opens(signed_in, subject):
    page = text(signed_in.get(address(subject)))
    assert re.search(r"<details class=\"item-guide\"><summary>How to complete.*Take the first sample", page)


def test_a_file_control_takes_the_types_of_its_item_and_carries_what_is_stored(signed_in, subject):
    page = text(signed_in.get(address(subject)))
    assert 'type="file" id="file-scan" name="file-scan" accept=".pdf"' in page
    assert "multipart/form-data" in page
    broken = send(signed_in, subject, {"value-scan": '{"file": "x"}'})
    assert broken.status_code == 422


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("report.exe", b"MZ", "no pdf file"),
        ("report.png", b"\x89PNG\r\n\x1a\n", "no pdf file"),
        ("report.pdf", b"%PDF-1.4" + bytes(2**20), "at most 1 MB"),
        ("report.pdf", b"MZ\x90\x00", "does not hold a pdf"),
        ("report.pdf", b"%PDF-1.4 /JavaScript (x) %%EOF", "scripts"),
        ("report.pdf", b"", "empty"),
    ],
)
def test_a_file_of_another_type_size_or_content_is_refused_at_the_door(signed_in, subject, name, content, told):
    upload = {"file": SimpleUploadedFile(name, content)}
    answer = signed_in.post(address(subject, name="crf:add-file", item="scan"), upload)
    assert answer.status_code == 422 and told in answer.json()["problem"]
    whole = send(signed_in, subject, {"file-scan": SimpleUploadedFile(name, content)})
    assert (whole.status_code == 422 and told in text(whole)) or not content, "without script it comes with the form"
    assert not Attachment.objects.exists()


def test_a_locked_record_takes_no_file(signed_in, subject, coordinator, cast):
    send(signed_in, subject, {"value-alt": "20"})
    records.lock(records=[saved()], reason="dataset", by=cast["pi"])
    upload = {"file": SimpleUploadedFile("report.pdf", b"%PDF-1.4\n%%EOF")}
    answer = signed_in.post(address(subject, name="crf:add-file", item="scan"), upload)
    assert answer.status_code == 422 and "locked" in answer.json()["problem"]
    assert not Attachment.objects.exists()


def test_a_long_form_comes_page_by_page_and_keeps_what_is_not_on_the_page(signed_in, subject):
    page = text(signed_in.get(address(subject, "LONG")))
    assert 'id="value-q99"' in page
    assert 'id="value-q100"' not in page
    assert 'value="section-2"' in page
    send(signed_in, subject, {"value-q5": "5", "section": "1"}, form="LONG")
    response = send(signed_in, subject, {"value-q105": "6", "section": "2"}, form="LONG", revision=1, act="section-3")
    assert response["Location"].endswith("?section=3")
    assert saved("LONG").data == {"q5": 5, "q105": 6}
    assert 'id="value-q229"' in text(signed_in.get(response["Location"]))
    assert 'id="item-meds"' in text(signed_in.get(address(subject, "LONG") + "?section=4"))
    last = send(signed_in, subject, row(1, drug="x") | {"section": "4"}, rows=[1], form="LONG", revision=2)
    assert last["Location"].endswith("?section=4")
    assert saved("LONG").data["q5"] == 5


@pytest.mark.parametrize("section", ["0", "99", "x", "-1", "１", "9" * 400])
def test_a_page_that_a_long_form_does_not_have_is_its_first(signed_in, subject, section):
    page = text(signed_in.get(address(subject, "LONG") + f"?section={section}"))
    assert 'id="value-q0"' in page


def test_completing_a_long_form_names_what_is_open_on_other_pages_and_leads_there(signed_in, subject):
    response = send(signed_in, subject, {"value-q5": "5", "section": "1"}, form="LONG", act="complete")
    assert response.status_code == 422
    assert '<a href="?section=3#item-q229">Question 229</a>' in text(response)


@pytest.mark.parametrize("width", [1280, 390])
def test_rows_are_added_filled_and_removed_by_keyboard_in_the_browser(signed_in, subject, width, tmp_path):
    with page_of(signed_in, width=width) as page:
        page.goto(address(subject))
        page.locator('[name="value-meds[1].drug"]').fill("x")
        page.locator('[name="value-meds[1].dose"]').fill("200")
        assert page.locator('[id="item-meds[1].why"]').is_hidden()
        page.locator("[data-add-row]").press("Enter")
        assert page.evaluate("document.activeElement.name") == "value-meds[2].drug"
        page.keyboard.type("y")
        page.locator('[name="value-alt"]').fill("300")
        page.locator('[id="item-meds[1].dose"] .finding.soft').wait_for()
        page.locator(".lab-result.is-severe").wait_for()
        assert "grade 3" in page.locator(".lab-result.is-severe").inner_text()
        page.locator('[data-row="2"] [name="remove-meds"]').press("Space")
        page.locator('[id="comment-meds[1].dose"]').fill("as prescribed")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        with page.expect_navigation():  # the draft is sent before
            page.locator('button[value="save"]').click()
        page.locator('[name="value-meds[1].drug"]').wait_for()
        assert page.complaints == []
    assert saved().data["meds"] == [{"row": 1, "drug": "x", "dose": 200}]
    assert saved().comments == {"meds[1].dose": "as prescribed"}


def test_an_import_by_service_takes_rows_without_numbers(subject, coordinator):
    visit = subject.visits.get(event="LOG")
    data = {"meds": [{"drug": "x"}, {"drug": "y", "dose": "1 g"}]}
    record = records.save(subject=subject, visit=visit, form="CM", data=data, by=coordinator).record
    assert json.loads(json.dumps(record.data["meds"])) == [
        {"row": 1, "drug": "x"},
        {"row": 2, "drug": "y", "dose": 1000},
    ]


def test_rows_leave_with_a_dataset_in_a_table_of_their_own(signed_in, subject, rich):
    from analytics.selectors.content import _forms, dictionary

    send(signed_in, subject, {"value-alt": "20"} | row(1, drug="x", dose="5") | row(2, drug="y"), rows=[1, 2])
    tables = {one.name: one for one in _forms(rich.study_definition, list(Record.objects.all()))}
    found = tables["forms/CM.meds"]
    names = [column.name for column in found.columns]
    assert [dict(zip(names, line, strict=True))["drug"] for line in found.rows] == ["x", "y"]
    assert [dict(zip(names, line, strict=True))["row"] for line in found.rows] == [1, 2]
    assert "meds" not in [column.name for column in tables["forms/CM"].columns]
    assert ("CM.meds", "dose") in {line[:2] for line in dictionary(rich.study_definition).rows}
