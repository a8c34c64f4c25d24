"""Exported records, read again by libraries that had no part in writing them, and compared value by value."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pyreadstat
import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from python_calamine import CalamineWorkbook
from reportlab import platypus

from crf.definitions.mapping import read_mapping
from crf.exports import FORMAT
from crf.exports.layout import tables
from crf.exports.naming import adapted
from crf.exports.rules import WORDS, Rule, Wanted
from crf.models import Record
from crf.services import exports, imports
from registry import pseudonyms
from registry.models import AuditEvent, Signature
from registry.services import people
from registry.services.signatures import WrongPassword
from tests.crf.exported import CODELISTS, EVENTS, FULL, HOSTILE, KINDS, filled, published
from tests.study import DEFINITION, PASSWORD, both, enrol, enter, person

pytestmark = pytest.mark.django_db
SECRETS = ("ZXQ", "Sentinel", "哨兵", "paper lost", "calc", "Name0", "HN000", "1933-02-01", "2026-04-03", "2026-02")


@pytest.fixture
def system():
    return people.system_user()


@pytest.fixture
def records(db, system):
    study = published().study
    return filled(study, by=system)


@pytest.fixture
def study(records):
    return records[0].study_definition and records[0].subject.study


@pytest.fixture
def pi(study):
    return person("pi", study=study, role="pi")


@pytest.fixture(autouse=True)
def _no_pdf(request, monkeypatch):
    """Embedding a Chinese face takes seconds; the test of the PDF does it."""
    if "pdf" not in request.node.name:
        monkeypatch.setattr("crf.exports.dictionary.write_pdf", lambda path, *args, **options: path.write_bytes(b""))


def made(study, tmp_path: Path, by, format: str = "csv", folder: str = "out", **wanted: Any) -> Path:
    password = PASSWORD if wanted.get("identified") or wanted.get("blinded") else ""
    exports.export(
        study=study, folder=tmp_path / folder, format=format, wanted=Wanted(**wanted), password=password, by=by
    )
    return tmp_path / folder


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def by_subject(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["subject"]: row for row in rows}


def name_of(record: Record) -> str:
    subject = record.subject
    key = pseudonyms.person_key(subject.identity.hospital_number_hash, subject.number)
    return pseudonyms.pseudonym(pseudonyms.study_key(subject.study), key)


def days_of(record: Record) -> int:
    subject = record.subject
    key = pseudonyms.person_key(subject.identity.hospital_number_hash, subject.number)
    return pseudonyms.days_back(pseudonyms.study_key(subject.study), key)


# De-identification


def test_no_file_of_a_deidentified_export_tells_who_somebody_is(study, tmp_path, system):
    for format in ("csv", "parquet", "sav", "dta", "xpt", "xpt8", "xlsx"):
        for path in made(study, tmp_path, system, format, folder=format).iterdir():
            content = path.read_bytes()
            if path.suffix == ".xlsx":
                with zipfile.ZipFile(path) as book:
                    content = b"".join(book.read(name) for name in book.namelist())
            for secret in SECRETS:
                if not (secret == "calc" and path.stem in ("dictionary", "codelists", "KINDS", "kinds", "records")):
                    assert secret.encode() not in content, f"{secret} in {path.name}"


def test_all_dates_of_a_subject_move_back_by_the_same_keyed_days_and_times_stay(study, records, tmp_path, system):
    rows = by_subject(lines(made(study, tmp_path, system) / "KINDS.csv"))
    row, back = rows[name_of(records[0])], dt.timedelta(days_of(records[0]))
    assert 1 <= back.days <= pseudonyms.MOST_DAYS
    assert row["seen"] == row["seen__earliest"] == row["seen__latest"] == (dt.date(2026, 4, 3) - back).isoformat()
    assert row["taken"] == f"{dt.date(2026, 4, 3) - back} 23:15:00"
    assert row["at_time"] == "08:30"
    assert days_of(records[0]) != days_of(records[3])


def test_a_partial_date_moves_and_stays_partial(study, records, tmp_path, system):
    row = by_subject(lines(made(study, tmp_path, system) / "KINDS.csv"))[name_of(records[1])]
    moved = dt.date(2026, 2, 15) - dt.timedelta(days_of(records[1]))
    assert row["seen"] == f"{moved:%Y-%m}-UK"
    assert row["seen__earliest"] == f"{moved:%Y-%m}-01"
    assert dt.date.fromisoformat(row["seen__latest"]) == (moved.replace(day=28) + dt.timedelta(4)).replace(
        day=1
    ) - dt.timedelta(1)


def test_ages_over_89_are_one_group(study, records, tmp_path, system):
    rows = by_subject(lines(made(study, tmp_path, system) / "KINDS.csv"))
    assert rows[name_of(records[0])]["age"] == "90"
    assert rows[name_of(records[0])]["status_2"] == "7", "an item named like a key keeps its values in its own column"


def test_identifiers_free_text_birth_dates_and_blinded_items_have_no_column(study, tmp_path, system):
    header = lines(made(study, tmp_path, system) / "KINDS.csv")[0].keys()
    assert not {"initials", "note", "scanner", "born", "outcome"} & header
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    rules = {
        item: manifest["items"][f"KINDS.{item}"] for item in ("initials", "note", "born", "outcome", "seen", "dose")
    }
    assert rules == {
        "initials": "left_out_identifier",
        "note": "left_out_free_text",
        "born": "left_out_birth_date",
        "outcome": "left_out_blinded",
        "seen": "shifted",
        "dose": "kept",
    }


def test_the_dictionary_says_of_every_column_what_was_done_to_it(study, tmp_path, system, pi):
    rules = {row["column"]: row["rule"] for row in lines(made(study, tmp_path, system) / "dictionary.csv")}
    assert (rules["visited_on"], rules["seen"], rules["dose"]) == ("shifted", "shifted", "kept")
    folder = made(study, tmp_path, pi, folder="identified", identified=True)
    assert {row["rule"] for row in lines(folder / "dictionary.csv")} == {"kept", "left_out_blinded"}


def test_text_that_is_named_as_harmless_is_kept_and_disarmed(study, records, tmp_path, system):
    folder = made(study, tmp_path, system, keep_text=("KINDS.scanner",))
    assert by_subject(lines(folder / "KINDS.csv"))[name_of(records[0])]["scanner"] == f"'{HOSTILE}"
    assert by_subject(lines(folder / "KINDS.csv"))[name_of(records[0])].keys().isdisjoint({"note", "initials"})
    folder = made(study, tmp_path, system, "xlsx", folder="x", keep_text=("KINDS.scanner",))
    assert HOSTILE in str(CalamineWorkbook.from_path(folder / "records.xlsx").get_sheet_by_name("KINDS").to_python())
    with zipfile.ZipFile(folder / "records.xlsx") as book:
        assert not any(b"<f>" in book.read(name) for name in book.namelist() if "worksheets" in name)


def test_the_shift_and_the_pseudonym_are_those_of_the_images(study, records):
    from imaging.services.intake import pseudonyms as of_images
    from registry.services import identities

    subject = records[0].subject
    patient = identities.hospital_number_hash(subject.site, "HN0000")
    assert of_images(study).days(patient) == days_of(records[0])
    assert of_images(study).patient(patient) == name_of(records[0])


def test_what_an_older_build_calls_an_identifier_is_left_out_of_all(study, records, tmp_path, system):
    items = [{**item, "role": "none"} if item["name"] == "initials" else item for item in KINDS["sections"][0]["items"]]
    newer = KINDS | {"sections": [{**KINDS["sections"][0], "items": items}, *KINDS["sections"][1:]]}
    published(version="2.0", forms=[*DEFINITION["forms"], newer])
    folder = made(study, tmp_path, system, keep_text=("KINDS.initials",))
    assert "initials" not in lines(folder / "KINDS.csv")[0]


# Missing values, and every format


def test_csv_keeps_why_a_value_is_missing_apart_from_not_answered(study, records, tmp_path, system):
    rows = by_subject(lines(made(study, tmp_path, system) / "KINDS.csv"))
    missing, empty = rows[name_of(records[1])], rows[name_of(records[2])]
    assert {name: missing[f"{name}__missing"] for name in ("age", "dose", "taken", "sex", "grade", "signs")} == {
        "age": "unknown", "dose": "not_done", "taken": "not_applicable", "sex": "unknown", "grade": "not_done",
        "signs": "not_done",
    }  # fmt: skip
    assert missing["age"] == missing["signs___fever"] == ""
    assert all(empty[name] == "" for name in empty if name.endswith("__missing"))


def expected(study, records, names) -> list[dict[str, Any]]:
    """What the tables should hold, written down by hand: the three kinds of subject, in the order of the file."""
    full = {"age": 90, "dose": 12.5, "sex": "F", "grade": "2", "signs": "FEVER;NA", "signs___fever": 1, "signs___na": 1}
    full |= {"signs___itch_2": 0, "status_2": 7, "doubled": 25.0, "at_time": "08:30", "dose__missing": None}
    missing = dict.fromkeys(full) | {"dose__missing": "not_done"}
    empty = dict.fromkeys(full) | {"at_time": "00:05"}
    kinds = dict(zip([name_of(record) for record in records], [full, missing, empty, full], strict=True))
    return [{names.get(k, k): v for k, v in kinds[subject].items()} for subject in sorted(kinds)]


def same(found: Any, wanted: Any) -> bool:
    if wanted is None:
        return found is None or found == "" or (isinstance(found, float) and math.isnan(found)) or found is pd.NA
    return float(found) == float(wanted) if isinstance(wanted, int | float) else str(found) == wanted


def compared(frame: Any, wanted: list[dict[str, Any]], skip: tuple[str, ...] = ()) -> None:
    assert len(frame) == len(wanted)
    for row, one in zip(frame.to_dict("records"), wanted, strict=True):
        wrong = {
            name: (row[name], value) for name, value in one.items() if name not in skip and not same(row[name], value)
        }
        assert not wrong


def test_parquet_reads_back_typed(study, records, tmp_path, system):
    folder = made(study, tmp_path, system, "parquet")
    table = pq.read_table(folder / "KINDS.parquet")
    assert str(table.schema.field("seen__earliest").type) == "date32[day]"
    assert str(table.schema.field("taken").type) == "timestamp[ms]"  # Parquet knows no seconds
    assert table.schema.field("dose").metadata[b"label"] == b"Dose"
    compared(pd.DataFrame(table.to_pylist(), dtype=object), expected(study, records, {}))


def test_xlsx_reads_back_with_dictionary_and_codes(study, records, tmp_path, system):
    book = CalamineWorkbook.from_path(made(study, tmp_path, system, "xlsx") / "records.xlsx")
    header, *rows = book.get_sheet_by_name("KINDS").to_python()
    compared(pd.DataFrame(rows, columns=header, dtype=object), expected(study, records, {}))
    assert book.sheet_names == ["DM", "LB", "AE", "KINDS", "KINDS__meds", "dictionary", "codelists"]
    assert ["KINDS", "grade", "2"] in [row[:3] for row in book.get_sheet_by_name("codelists").to_python()]


def test_spss_has_labels_and_user_missing_values(study, records, tmp_path, system):
    path = made(study, tmp_path, system, "sav", language="zh") / "KINDS.sav"
    frame, about = pyreadstat.read_sav(path)
    compared(frame, expected(study, records, {}), skip=("grade",))
    assert set(frame["grade"].dropna()) == {2.0}, "codes that are numbers are numbers"
    raw, told = pyreadstat.read_sav(path, user_missing=True)
    row = list(frame["subject"]).index(name_of(records[1]))
    assert raw["dose"][row] == -9.7e15 and raw["age"][row] == -9.8e15
    assert raw["dose"][row] in [one["lo"] for one in told.missing_ranges["dose"]]
    assert about.variable_value_labels["sex"] == {"F": "女", "M": "男"}
    assert about.variable_value_labels["grade"][2.0] == "Grade 2(中)"
    assert about.column_names_to_labels["dose"] == "Dose(中) (mg)"
    assert pd.isna(frame["seen__earliest"][0]) or isinstance(frame["seen__earliest"][0], dt.date)


def test_stata_has_labels_and_letters_for_missing_values(study, records, tmp_path, system):
    path = made(study, tmp_path, system, "dta") / "KINDS.dta"
    frame, about = pyreadstat.read_dta(path)
    compared(frame, expected(study, records, {}), skip=("sex", "grade"))  # Stata labels numbers only
    raw, _ = pyreadstat.read_dta(path, user_missing=True)
    row = list(frame["subject"]).index(name_of(records[1]))
    assert (raw["dose"][row], raw["age"][row], raw["sex"][row]) == ("a", "b", "b")
    assert about.variable_value_labels["sex"] == {1: "F: Female", 2: "M: Male"}
    assert set(frame["sex"].dropna()) == {1.0} and set(frame["grade"].dropna()) == {2.0}


@pytest.mark.parametrize(
    ("format", "file", "read", "most"),
    [("xpt", "kinds.xpt", pyreadstat.read_xport, 198), ("dta", "KINDS.dta", pyreadstat.read_dta, 2043)],
)
def test_texts_that_a_format_cannot_hold_whole_are_counted_in_the_manifest(
    study, records, tmp_path, system, format, file, read, most
):  # fmt: skip
    enter(records[2].subject, "KINDS", {"scanner": "很长" * 1000}, by=system)
    folder = made(study, tmp_path, system, format, keep_text=("KINDS.scanner",))
    frame, _ = read(folder / file)
    column = next(name for name in frame if name.casefold() == "scanner")
    assert max(len(text.encode()) for text in frame[column]) == most, "whole characters within 200 or 2045 bytes"
    assert cut_texts(folder) == {"scanner": 1}
    assert cut_texts(made(study, tmp_path, system, "sav", "sav", keep_text=("KINDS.scanner",))) == {}


def cut_texts(folder: Path) -> dict[str, int]:
    return json.loads((folder / "manifest.json").read_text())["tables"]["KINDS"].get("texts_cut", {})


@pytest.mark.parametrize("format", ["xpt", "xpt8"])
def test_sas_transport_reads_back(study, records, tmp_path, system, format):
    folder = made(study, tmp_path, system, format)
    frame, about = pyreadstat.read_xport(folder / "kinds.xpt")
    names = {
        row["column"]: row[f"name_{format}"] for row in lines(folder / "dictionary.csv") if row["table"] == "KINDS"
    }
    assert all(len(name) <= (8 if format == "xpt" else 32) for name in about.column_names)
    assert about.column_names == [name for column, name in names.items() if column]
    assert about.table_name == "KINDS"
    frame = frame.mask(frame.isin(["a", "b", "c"]))  # SAS's own letters for missing values
    compared(frame, expected(study, records, names))


def test_names_are_short_unique_and_the_same_every_time():
    long = ["bilirubin", "bilirubin_total", "bilirubin__missing", "bilirubin_total__missing", "bilirubi", "with", "by"]
    for format, limit in (("xpt", 8), ("dta", 32), ("sav", 64)):
        found = adapted(long, format)
        assert len({name.casefold() for name in found.values()}) == len(long)
        assert all(len(name) <= limit for name in found.values())
        assert found == adapted(long, format)
    assert adapted(long, "xpt")["bilirubi"] == "BILIRUBI", "what fits keeps its name, whatever comes before it"
    assert adapted(long, "dta")["with"] != "with" and adapted(long, "sav")["by"] != "by"
    assert adapted(["str12", "strength"], "dta") == {"str12": "str12_2", "strength": "strength"}


def test_a_repeating_group_is_a_table_of_its_own(study, records, tmp_path, system):
    meds = [{"row": 1, "drug": "A", "started": "2026-03-01", "units": "3"}, {"row": 2, "units": "4"}]
    record = records[2]
    enter(record.subject, "KINDS", {"meds": meds}, by=system)
    rows = lines(made(study, tmp_path, system) / "KINDS__meds.csv")
    assert [(row["subject"], row["row"], row["units"]) for row in rows] == [
        (name_of(record), "1", "3"),
        (name_of(record), "2", "4"),
    ]
    moved = dt.date(2026, 3, 1) - dt.timedelta(days_of(record))
    assert rows[0]["started"] == moved.isoformat() and "drug" not in rows[0]


# Several builds, equal bytes, scripts


def test_builds_are_joined_and_each_row_names_its_own(study, records, tmp_path, system):
    section = KINDS["sections"][0]
    items = [item for item in section["items"] if item["name"] not in ("age", "doubled")]
    items = [{**item, "type": "text"} if item["name"] == "status" else item for item in items]
    items.append({"name": "weight", "type": "decimal", "label": both("Weight")})
    newer = KINDS | {"sections": [{**section, "items": items}, *KINDS["sections"][1:]]}
    published(version="2.0", forms=[*DEFINITION["forms"], newer])
    subject = enrol(study.sites.get(code="01"), by=system, hospital_number="HN9")
    enter(subject, "KINDS", {"weight": "70.5", "status": "seven"}, by=system)
    rows = lines(made(study, tmp_path, system, keep_text=("KINDS.status",)) / "KINDS.csv")
    assert sorted((row["build"], row["age"], row["weight"], row["status_2"]) for row in rows) == [
        ("1.0", "", "", ""),
        ("1.0", "", "", ""),
        ("1.0", "90", "", "7"),
        ("1.0", "90", "", "7"),
        ("2.0", "", "70.5", "seven"),
    ]


@pytest.mark.parametrize("format", ["csv", "xlsx", "parquet", "sav", "dta", "xpt", "xpt8"])
def test_the_same_state_gives_the_same_bytes_but_for_the_time_in_the_manifest(study, tmp_path, system, format):
    one, two = (made(study, tmp_path, system, format, folder=name) for name in ("one", "two"))
    files = sorted(path.name for path in one.iterdir())
    assert files == sorted(path.name for path in two.iterdir())
    for name in files:
        if name != "manifest.json":
            assert (one / name).read_bytes() == (two / name).read_bytes(), name
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (one, two)]
    for manifest in manifests:
        assert manifest.pop("made_at")
    assert manifests[0] == manifests[1]
    assert manifests[0]["format"] == "lobule-records/1"
    assert manifests[0]["files"] == {
        name: hashlib.sha256((one / name).read_bytes()).hexdigest() for name in files if name != "manifest.json"
    }


KEYS = "study site subject group event repeat visited_on form number status revision build"


def test_the_columns_of_format_1_are_called_what_they_were_called(study, tmp_path, system, pi):
    """Whoever changes this test gives the format another number."""
    assert FORMAT == "lobule-records/1"
    folder = made(study, tmp_path, system, forms=("KINDS",))
    columns = (
        f"{KEYS} age age__missing dose dose__missing seen seen__earliest seen__latest seen__missing at_time"
        " at_time__missing taken taken__missing sex sex__missing grade grade__missing signs signs___fever signs___na"
        " signs___itch_2 signs__missing status_2 status__missing doubled"
    )
    assert header(folder / "KINDS.csv") == columns.split()
    group = f"{KEYS.replace('number', 'number row')} started started__earliest started__latest started__missing"
    assert header(folder / "KINDS__meds.csv") == [*group.split(), "units", "units__missing"]
    identified = header(made(study, tmp_path, pi, folder="identified", forms=("DM",), identified=True) / "DM.csv")
    items = [[name, f"{name}__missing", f"{name}__reason"] for name in ("age", "sex", "pregnant")]
    assert identified == [*KEYS.split(), *(name for names in items for name in names)]


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file))


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_the_python_script_reads_the_tables_with_labels_and_codes(study, records, tmp_path, system, format):
    folder = made(study, tmp_path, system, format)
    program = (
        "from read_records import read_records; t = read_records('.')['KINDS'];"
        "print(t['sex'].dtype, list(t['sex'].cat.categories), t['age'].dtype, t['dose'].sum(), t['taken'].dtype,"
        "t.attrs['labels']['dose'], t.attrs['units']['dose'], t['age__missing'].dropna().tolist())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert told.split()[0] == "category"
    assert "['Female', 'Male'] Int64 25.0 datetime64" in told.replace("int64", "Int64")
    assert told.strip().endswith("Dose mg ['unknown']")


def test_the_r_script_is_whole():
    """Where there is no R: brackets and quotes close, and it uses only what base R has."""
    text = (Path(exports.__file__).parents[1] / "exports" / "read_records.R").read_text()
    code = "\n".join(line.partition("#")[0] for line in text.splitlines())
    for pair in ("()", "{}", "[]"):
        assert code.count(pair[0]) == code.count(pair[1])
    assert code.count('"') % 2 == 0 and "library(" not in code and "\t" not in code
    assert 'fileEncoding = "UTF-8-BOM"' in code and 'na.strings = ""' in code, "the code NA is no missing value"


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_the_r_script_reads_the_tables_with_labels_and_codes(study, records, tmp_path, system):
    folder = made(study, tmp_path, system, language="zh")
    program = (
        'source("read_records.R", encoding = "UTF-8"); k <- read_records(".")$KINDS;'
        "cat(levels(k$sex), class(k$taken)[1], class(k$seen__earliest), sum(k$dose, na.rm = TRUE), sum(is.na(k$age)),"
        'na.omit(k$age__missing), attr(k$dose, "label"), attr(k$dose, "unit"), sum(k$signs___na, na.rm = TRUE))'
    )
    told = subprocess.run(
        ["Rscript", "-e", program], cwd=folder, capture_output=True, text=True, check=True,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    ).stdout  # fmt: skip
    assert told.split() == ["女", "男", "POSIXct", "Date", "25", "2", "unknown", "Dose(中)", "mg", "2"]


def test_the_dictionary_pdf_names_columns_codes_and_treatment(study, tmp_path, system, monkeypatch):
    printed, paragraph = [], platypus.Paragraph

    def noted(text: str, style: Any) -> Any:
        printed.append(text)
        return paragraph(text, style)

    monkeypatch.setattr(platypus, "Paragraph", noted)
    content = (made(study, tmp_path, system, language="zh") / "dictionary.pdf").read_bytes()
    assert content.startswith(b"%PDF") and b"NotoSansSC" in content and len(content) > 10_000
    assert {"seen", "Dose(中) (mg)", "F = 女<br/>M = 男", "Note(中)", "不导出:自由文本"} <= set(printed)
    at = printed.index("seen")
    assert printed[at : at + 4] == ["seen", "text", "Seen(中)", WORDS[Rule.SHIFT].zh]


# Who may


def test_an_export_holds_the_sites_of_the_person_only(study, records, tmp_path):
    at_site = person("pi1", study=study, role="pi", site=study.sites.get(code="02"))
    rows = lines(made(study, tmp_path, at_site, subjects="number") / "KINDS.csv")
    assert [row["site"] for row in rows] == ["02"] and rows[0]["subject"] == records[3].subject.number
    with pytest.raises(exports.ExportRefused, match="01"):
        made(study, tmp_path, at_site, folder="other", sites=("01",))


@pytest.mark.parametrize("role", ["coordinator", "monitor", "statistician", "reader", "administrator", "investigator"])
def test_who_may_not_export_gets_nothing(study, tmp_path, role):
    with pytest.raises(PermissionDenied):
        made(study, tmp_path, person("somebody", study=study, role=role))
    assert not (tmp_path / "out").exists()


def test_identities_need_the_right_and_a_signature(study, records, tmp_path, pi):
    manager = person("manager", study=study, role="data_manager")
    for wanted in ({"identified": True}, {"blinded": True}):
        with pytest.raises(PermissionDenied):
            made(study, tmp_path, manager, **wanted)
        with pytest.raises(WrongPassword):
            exports.export(
                study=study, folder=tmp_path / "no", format="csv", wanted=Wanted(**wanted), password="wrong", by=pi
            )
    assert not (tmp_path / "no").exists() and not Signature.objects.exists()
    row = by_subject(lines(made(study, tmp_path, pi, identified=True) / "KINDS.csv"))[records[0].subject.number]
    assert row["note"] == FULL["note"] and row["seen"] == "2026-04-03" and row["age"] == "93" and "outcome" not in row
    assert row["scanner"] == f"'{HOSTILE}" and row["initials"] == "ZXQ"
    signed = Signature.objects.get(kind="records.export")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["signature"] == signed.pk
    assert "outcome" in lines(made(study, tmp_path, pi, folder="unblinded", blinded=True) / "KINDS.csv")[0]


def test_every_export_is_an_event_that_says_what_was_taken(study, tmp_path, pi):
    made(study, tmp_path, pi, forms=("DM",), sites=("01",))
    event = AuditEvent.objects.get(kind="records.export")
    assert event.by == pi and event.details["rows"] == 3 and event.details["sites"] == ["01"]
    manifest = hashlib.sha256((tmp_path / "out" / "manifest.json").read_bytes()).hexdigest()
    assert event.details["manifest"] == manifest and event.details["identified"] is False


@pytest.mark.parametrize(
    "wanted", [{"forms": ("NO",)}, {"sites": ("99",)}, {"events": ("NO",)}, {"keep_text": ("NO.x",)}]
)
def test_what_is_not_there_is_named(study, tmp_path, system, wanted):
    with pytest.raises(exports.ExportRefused, match=r"NO|99"):
        made(study, tmp_path, system, **wanted)


def test_the_command_writes_the_files_and_refuses_a_folder_that_is_not_empty(study, tmp_path, capsys):
    call_command("export_records", "LIVER", "--output", str(tmp_path / "out"), "--event", "BASELINE", "--json")
    assert json.loads(capsys.readouterr().out)["tables"]["KINDS"]["rows"] == 4
    with pytest.raises(CommandError, match=r"empty|不为空|非空"):
        call_command("export_records", "LIVER", "--output", str(tmp_path / "out"))
    with pytest.raises(CommandError):
        call_command("export_records", "LIVER", "--output", str(tmp_path / "new"), "--identified")


# Round trip


def test_an_identified_csv_is_imported_again_and_changes_nothing(study, records, tmp_path, pi, system):
    folder = made(study, tmp_path, pi, identified=True, blinded=True)
    before = {record.pk: record.revision for record in Record.objects.all()}
    for table in ("DM", "KINDS"):
        mapping = read_mapping((folder / f"{table}.mapping.yaml").read_bytes())
        content = (folder / f"{table}.csv").read_bytes()
        plan = imports.preview(study=study, content=content, mapping=mapping, by=system)
        assert not plan.problems
        assert {planned.kind for planned in plan.records} == {"unchanged"}
        assert sum(len(planned.incoming.cells) for planned in plan.records) > 5
    assert {record.pk: record.revision for record in Record.objects.all()} == before


def test_the_union_of_builds_keeps_a_choice_that_only_an_older_one_has():
    from crf.definitions.model import StudyDefinition

    first = StudyDefinition.from_json({**DEFINITION, "forms": [*DEFINITION["forms"], KINDS], "events": EVENTS,
                                       "codelists": CODELISTS})  # fmt: skip
    fewer = CODELISTS | {"GRADE": {"name": both("Grade"), "choices": [{"code": "4", "label": both("Grade 4")}]}}
    second = StudyDefinition.from_json({**first.model_dump(mode="json", exclude_defaults=True), "codelists": fewer})
    layout = next(one for one in tables([first, second], Wanted()) if one.name == "KINDS")
    grade = next(question for question in layout.questions if question.item.name == "grade")
    assert [choice.code for choice in grade.choices] == ["4", "1", "2", "3"]
