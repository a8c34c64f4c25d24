"""The two studies as data: complete, bilingual, true to the registrations, and calculating what they say."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from crf.definitions import StudyDefinition, evaluate, load_study
from crf.definitions.schedule import planned

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
HCC, LT = "chictr2600121791", "chictr2600121618"
STUDIES = {code: load_study(FIXTURES / code) for code in (HCC, LT)}

# What the issue asks of each form, as item names.
ASKED = {
    HCC: {
        "ELIG": "inc_age inc_hcc inc_unresectable inc_triple inc_mri exc_malignancy exc_organ exc_other_therapy",
        "DM": "birth_date age sex aetiology cirrhosis ecog bclc cnlc",
        "LB": "afp pivka wbc neutrophils lymphocytes haemoglobin platelets alt ast bilirubin albumin creatinine pt inr "
        "albi_score albi_class child_pugh_points child_pugh_grade nlr_ratio plr_ratio",
        "TB": "lesion_count largest_diameter pvtt extrahepatic target_sum",
        "LEN": "weight recommended_dose initial_dose dose_changed change1_dose",
        "ICI": "drug dose cycles",
        "INTV": "session_date procedure",
        "AE": "ae_term grade start_date serious outcome",
        "MRI": "scan_date manufacturer field_strength sequences slice_thickness_t2",
        "RESP": "target_sum nontarget_response new_lesion overall_response",
        "CONV": "surgery_date residual_viable pcr mvi margin margin_distance",
        "FU": "vital_status progression_date progression_basis later_therapies death_date death_cause "
        "last_contact_date",
        "EOS": "end_date end_reason",
    },
    LT: {
        "ELIG": "study_group inc_age exc_splenectomy exc_splenic_artery exc_tips exc_perioperative_death "
        "exc_haematologic exc_other",
        "DM": "birth_date age sex indication cirrhosis",
        "LBPRE": "platelets wbc bilirubin creatinine sodium inr meld_score meld_na_score meld3_score child_pugh_points",
        "CT": "ct_date spleen_length spleen_width spleen_thickness spleen_volume_ct portal_vein splenic_vein varices "
        "shunt",
        "OPER": "transplant_date donor_type graft_type grwr cold_ischaemia warm_ischaemia blood_loss rbc_units "
        "splenic_artery_ligation",
        "LBPOST": "sample_date platelets wbc haemoglobin bilirubin",
        "SP6M": "platelets wbc haemoglobin spleen_length spleen_volume_ct platelets_change spleen_volume_change_pct",
        "IMM": "cni tacrolimus_trough antimetabolite mtor prednisone_dose",
        "HSEV": "event_type event_date because_hypersplenism growth_factors product",
        "STATUS": "vital_status death_date graft_status retransplant_date",
        "EOS": "end_date end_reason",
    },
}
REPEATING = {HCC: {"INTV", "AE"}, LT: {"HSEV"}}
EXCLUSIONS = {
    HCC: ["exc_malignancy", "exc_organ", "exc_other_therapy"],
    LT: [
        "exc_splenectomy",
        "exc_splenic_artery",
        "exc_tips",
        "exc_perioperative_death",
        "exc_haematologic",
        "exc_other",
    ],
}
HAN = re.compile(r"[一-鿿]")


@pytest.fixture(params=[HCC, LT])
def code(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def study(code: str) -> StudyDefinition:
    return STUDIES[code]


def registration(shared: Path, code: str) -> dict[str, Any]:
    path = shared / "protocols" / f"ChiCTR{code.removeprefix('chictr')}.yaml"
    # Two definitions there hold a comma that YAML reads as the start of the next key; quoted, they are whole.
    text = re.sub(r"\b(pfs|os): ([^\n]*\(censored\))", r'\1: "\2"', path.read_text(encoding="utf-8"))
    return plain(yaml.safe_load(text))


def plain(value: Any) -> Any:
    """Dates as the text that JSON keeps of them."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def test_every_fact_of_the_registration_is_kept_word_for_word(shared: Path, code: str, study: StudyDefinition) -> None:
    facts = registration(shared, code)
    assert study.protocol == facts
    assert study.registration_number == facts["registration_number"]
    assert study.title.model_dump() == facts["title"]


def test_exclusion_criteria_are_the_registrations_own_words(shared: Path, code: str, study: StudyDefinition) -> None:
    items = [study.form("ELIG").item(name) for name in EXCLUSIONS[code]]
    stated = registration(shared, code)["exclusion"]
    assert [item.label.model_dump() for item in items] == [{"zh": one["zh"], "en": one["en"]} for one in stated]
    assert {item.origin for item in items} == {"protocol"}


def test_groups_and_sites_have_the_registered_sizes(shared: Path) -> None:
    hcc, lt = registration(shared, HCC), registration(shared, LT)
    assert [group.target for group in STUDIES[HCC].groups] == [hcc["sample_size"]["target_condition"]]
    assert sum(site.target or 0 for site in STUDIES[HCC].sites) == 400
    assert {site.origin for site in STUDIES[HCC].sites} == {"assumed"}
    assert [(group.name.zh, group.target) for group in STUDIES[LT].groups] == [
        (group["zh"], group["sample_size"]) for group in lt["groups"]
    ]
    assert [site.target for site in STUDIES[LT].sites] == [230]


def test_the_coordinating_centre_is_first_and_the_registered_sites_follow(shared: Path) -> None:
    facts = registration(shared, HCC)
    sites = STUDIES[HCC].sites
    names = [facts["primary_sponsor"], *facts["sites"]]
    assert [site.name.zh for site in sites] == [name["zh"] for name in names]
    assert [site.name.en for site in sites] == [name["en"] for name in names]
    assert [site.coordinating for site in sites] == [True, False, False, False]


def test_every_form_of_the_issue_is_there_with_what_it_asks(code: str, study: StudyDefinition) -> None:
    assert {form.oid for form in study.forms} == set(ASKED[code])
    lacking = {
        form: [name for name in names.split() if name not in study.form(form).items]
        for form, names in ASKED[code].items()
    }
    assert not {form: names for form, names in lacking.items() if names}
    assert {form.oid for form in study.forms if form.repeating} == REPEATING[code]


def texts(part: Any, path: str = "") -> list[tuple[str, str, str]]:
    """Every {zh, en} of a definition with its place."""
    if isinstance(part, dict):
        if set(part) == {"zh", "en"}:
            return [(path, part["zh"], part["en"])]
        return [text for key, inner in part.items() if key != "protocol" for text in texts(inner, f"{path}/{key}")]
    if isinstance(part, list | tuple):
        return [text for at, inner in enumerate(part) for text in texts(inner, f"{path}/{at}")]
    return []


def test_every_text_is_in_both_languages_and_none_is_in_the_wrong_one(study: StudyDefinition) -> None:
    found = texts(study.model_dump())
    assert len(found) > 600
    assert not [(path, en) for path, _, en in found if HAN.search(en)]
    # Codes such as "R0", "12 mg", "FOLFOX" or "HBsAg" are written alike; sentences are not.
    assert not [(path, zh) for path, zh, en in found if zh != en and not HAN.search(zh) and len(zh) > 12]
    assert not [path for path, zh, en in found if "checks" in path and (not HAN.search(zh) or len(en) < 15)]


def test_everything_says_where_it_comes_from(study: StudyDefinition) -> None:
    parts = [*study.sites, *study.groups, *study.events, *(item for _, item in study.items())]
    parts += [check for form in study.forms for check in form.checks]
    assert not [part for part in parts if part.origin is None]


def test_no_form_asks_who_somebody_is(study: StudyDefinition) -> None:
    identifying = {f"{form.oid}.{item.name}" for form, item in study.items() if item.role == "identifier"}
    assert identifying == {"DM.birth_date"}
    labels = [item.label.zh for _, item in study.items()]
    assert not [label for label in labels if re.search("姓名|身份证|住院号|门诊号|病案号|电话|地址", label)]


def test_image_readers_see_no_outcome_and_no_treatment(code: str, study: StudyDefinition) -> None:
    outcomes = [item for _, item in study.items() if item.role == "outcome"]
    assert outcomes and all(item.blinded for item in outcomes)
    hidden = {HCC: ("LEN", "ICI", "INTV", "AE", "RESP", "CONV", "FU", "EOS"), LT: ("OPER", "LBPOST", "SP6M", "HSEV")}
    seen = [f"{oid}.{item.name}" for oid in hidden[code] for item in study.form(oid).items.values() if not item.blinded]
    assert not seen


@pytest.mark.parametrize(
    ("item", "conventional", "usual"),
    [("bilirubin", 1.1, 18.0), ("creatinine", 0.9, 72.0), ("albumin", 4.1, 41.0), ("haemoglobin", 13, 132)],
)
@pytest.mark.parametrize(("code", "oid"), [(HCC, "LB"), (LT, "LBPRE"), (LT, "LBPOST")])
def test_a_value_in_the_wrong_unit_is_questioned(
    code: str, oid: str, item: str, conventional: float, usual: float
) -> None:
    form = STUDIES[code].form(oid)
    wrong, right = evaluate(form, {item: conventional}), evaluate(form, {item: usual})
    checks = [finding.check for finding in wrong.findings if finding.item == item]
    assert len(checks) == 1 and checks[0] in ("range", "soft_range")
    assert not [finding for finding in right.findings if finding.item == item]


def test_laboratory_units_are_those_of_chinese_reports() -> None:
    units = {name: item.unit for name, item in STUDIES[HCC].form("LB").items.items()}
    expected = {
        "bilirubin": "µmol/L", "creatinine": "µmol/L", "albumin": "g/L", "haemoglobin": "g/L", "platelets": "10⁹/L",
        "alt": "U/L", "pt": "s", "afp": "ng/mL", "pivka": "mAU/mL",
    }  # fmt: skip
    assert {name: units[name] for name in expected} == expected


def test_images_and_forms_call_a_sequence_by_the_same_code(study: StudyDefinition) -> None:
    """Else what the headers say of a sequence would answer the form with another one, or not at all."""
    assert study.imaging
    asked = [study.codelist(item) for _, item in study.items() if item.dicom == "sequences"]
    assert [set(codes.codes()) for codes in asked if codes] == [{one.code for one in study.imaging.sequences}]


def windows(code: str, anchor: str) -> dict[str, tuple[int, int]]:
    start = dt.date(2026, 1, 1)
    found = {}
    for event in STUDIES[code].events:
        visit = planned(event, {anchor: start})
        if visit.window_from and visit.window_to:
            found[event.oid] = ((visit.window_from - start).days, (visit.window_to - start).days)
    return found


def test_visits_are_planned_around_time_zero() -> None:
    assert windows(HCC, "ELIG.index_treatment_date") == {"BASELINE": (-30, 0), "RESPONSE": (42, 70), "FU": (61, 121)}
    assert windows(LT, "OPER.transplant_date") == {
        "PREOP": (-90, 0), "OPERATION": (0, 0), "D7": (5, 9), "D14": (11, 17), "D30": (23, 37), "D90": (76, 104),
        "D180": (150, 210),
    }  # fmt: skip
    event = STUDIES[HCC].event("RESPONSE")
    third = planned(event, {"ELIG.index_treatment_date": dt.date(2026, 1, 1)}, repeat=3)
    assert third.target_on == dt.date(2026, 1, 1) + dt.timedelta(weeks=24)
