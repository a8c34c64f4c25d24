"""Endpoint rules on hand-worked cases: every expected number here was worked out on paper."""

from __future__ import annotations

from datetime import date

import pytest

from analytics.endpoints import BadEndpoints, EndpointSet, Row, SubjectRows, evaluate, load_endpoints
from analytics.endpoints.dates import NotADate, read
from analytics.endpoints.model import Completion

WORDS = {"zh": "终点", "en": "Endpoint"}
BASE = {"version": "1.0", "name": WORDS, "sentence": WORDS, "origin": "protocol"}


def rule(**parts):
    return EndpointSet.model_validate({"endpoints": [{**BASE, **parts}]}).endpoints[0]


def subject(*rows):
    """Rows as (form, values) or (form, values, event, visit date)."""
    return SubjectRows(
        "01-0001",
        tuple(
            Row(
                record=number,
                revision=number + 10,
                form=form,
                values=values,
                event=rest[0] if rest else "",
                occurred_on=rest[1] if len(rest) > 1 else None,
            )
            for number, (form, values, *rest) in enumerate(rows, start=1)
        ),
    )


PFS = rule(
    code="PFS",
    kind="time_to_event",
    start=["LEN.start_date", "INTV.session_date"],
    events=[
        {
            "code": "progression",
            "date": [
                "FU.progression_date",
                {"form": "RESP", "item": "assessment_date", "where": {"response": "PD"}},
            ],
        },
        {"code": "death", "date": "FU.death_date"},
    ],
    censor=["RESP.assessment_date", "FU.last_contact"],
)


def test_progression_is_counted_from_the_earliest_treatment():
    result = evaluate(
        PFS,
        subject(
            ("LEN", {"start_date": "2025-03-10"}),
            ("INTV", {"session_date": "2025-03-01"}),
            ("RESP", {"assessment_date": "2025-05-01", "response": "SD"}),
            ("RESP", {"assessment_date": "2025-09-01", "response": "PD"}),
            ("FU", {"last_contact": "2026-01-01"}),
        ),
    )
    assert result.status == "evaluable"
    assert (result.value["days"], result.value["event"], result.value["event_code"]) == (184, 1, "progression")
    assert result.value["months"] == pytest.approx(184 / 30.4375)
    assert [(one.form, one.record, one.revision, one.item) for one in result.evidence] == [
        ("INTV", 2, 12, "session_date"),
        ("RESP", 4, 14, "assessment_date"),
    ]


def test_without_an_event_time_ends_at_the_last_assessment():
    result = evaluate(
        PFS,
        subject(
            ("LEN", {"start_date": "2025-03-01"}),
            ("RESP", {"assessment_date": "2025-05-01", "response": "SD"}),
            ("FU", {"last_contact": "2025-08-28"}),
        ),
    )
    assert (result.value["days"], result.value["event"], result.value["event_code"]) == (180, 0, "censored")


def test_death_before_progression_is_the_event():
    result = evaluate(
        PFS,
        subject(
            ("LEN", {"start_date": "2025-03-01"}),
            ("FU", {"death_date": "2025-04-01"}),
            ("FU", {"progression_date": "2025-06-01"}),
        ),
    )
    assert (result.value["event_code"], result.value["days"]) == ("death", 31)


def test_what_came_after_the_cut_off_did_not_happen_yet():
    case = subject(
        ("LEN", {"start_date": "2025-03-01"}),
        ("RESP", {"assessment_date": "2025-05-01", "response": "SD"}),
        ("RESP", {"assessment_date": "2025-09-01", "response": "PD"}),
    )
    result = evaluate(PFS, case, cutoff=date(2025, 6, 1))
    assert (result.value["event"], result.value["days"]) == (0, 61)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("FU", {"death_date": "2025-04-01"})], "no_start"),
        ([("LEN", {"start_date": {"missing": "unknown", "reason": ""}})], "no_start"),
        ([("LEN", {"start_date": "2025-03-01"})], "no_follow_up"),
        ([("LEN", {"start_date": "2025-03-01"}), ("FU", {"death_date": "2025-02-01"})], "event_before_start"),
        ([("LEN", {"start_date": "spring"})], "bad_date"),
    ],
)
def test_what_cannot_be_evaluated_says_why(rows, reason):
    result = evaluate(PFS, subject(*rows))
    assert (result.status, result.reason) == ("not_evaluable", reason)


def test_a_partial_date_is_completed_and_the_result_says_so():
    result = evaluate(PFS, subject(("LEN", {"start_date": "2025-03-01"}), ("FU", {"death_date": "2025-08-UK"})))
    assert result.value["days"] == (date(2025, 8, 15) - date(2025, 3, 1)).days
    assert result.evidence[-1].raw == "2025-08-UK"
    assert result.evidence[-1].completion == "day unknown: 2025-08-UK completed to 2025-08-15"


def test_a_partial_event_in_the_month_of_time_zero_is_not_before_it():
    result = evaluate(PFS, subject(("LEN", {"start_date": "2025-03-20"}), ("FU", {"death_date": "2025-03-UK"})))
    assert (result.status, result.value["days"]) == ("evaluable", 0)
    assert "moved up to time zero" in result.evidence[-1].completion


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-04-03", date(2025, 4, 3)),
        ("2025-04-UK", date(2025, 4, 15)),
        ("2025-04", date(2025, 4, 15)),
        ("2025-UK-UK", date(2025, 7, 1)),
        ("2025", date(2025, 7, 1)),
    ],
)
def test_completion_follows_the_rule(text, expected):
    assert read(text, Completion()).on == expected


@pytest.mark.parametrize("text", ["2025-02-30", "03.04.2025", "", "20250403"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises(NotADate):
        read(text, Completion())


def test_new_therapy_can_end_follow_up_before_the_event():
    parts = PFS.model_dump(by_alias=True) | {"censor_at": [{"code": "new_therapy", "date": "FU.new_therapy_date"}]}
    strict = EndpointSet.model_validate({"endpoints": [parts]}).endpoints[0]
    case = subject(
        ("LEN", {"start_date": "2025-03-01"}),
        ("FU", {"new_therapy_date": "2025-04-01"}),
        ("FU", {"death_date": "2025-05-01"}),
    )
    assert (evaluate(strict, case).value["event"], evaluate(strict, case).value["days"]) == (0, 31)
    assert evaluate(PFS, case).value["event"] == 1


def test_who_ends_before_the_landmark_is_left_out():
    late = EndpointSet.model_validate({"endpoints": [PFS.model_dump(by_alias=True) | {"landmark_day": 90}]})
    ends = [
        evaluate(late.endpoints[0], subject(("LEN", {"start_date": "2025-03-01"}), ("FU", {"death_date": on})))
        for on in ("2025-05-29", "2025-05-30")
    ]
    assert [(one.status, one.reason) for one in ends] == [("not_evaluable", "before_landmark"), ("evaluable", "")]


def test_a_competing_event_counts_unless_the_event_is_of_the_same_day():
    parts = PFS.model_dump(by_alias=True) | {"competing": [{"code": "transplant", "date": "FU.transplant_date"}]}
    rivals = EndpointSet.model_validate({"endpoints": [parts]}).endpoints[0]
    start = ("LEN", {"start_date": "2025-03-01"})
    ends = [
        evaluate(rivals, subject(start, ("FU", {"death_date": "2025-05-01", "transplant_date": on}))).value
        for on in ("2025-04-30", "2025-05-01")
    ]
    assert [(one["event"], one["event_code"]) for one in ends] == [(2, "transplant"), (1, "death")]


def test_a_recorded_duration_is_taken_where_there_are_no_dates():
    endpoint = rule(
        code="OS",
        kind="duration",
        time="FU.days",
        events=[{"code": "death", "where": {"status": "2"}}],
        competing=[{"code": "transplant", "where": {"status": "1"}}],
    )
    ends = [evaluate(endpoint, subject(("FU", {"days": 1000, "status": status}))).value for status in "012"]
    assert [(one["days"], one["event"], one["event_code"]) for one in ends] == [
        (1000, 0, "censored"),
        (1000, 2, "transplant"),
        (1000, 1, "death"),
    ]
    assert ends[0]["months"] == pytest.approx(1000 / 30.4375)
    assert evaluate(endpoint, subject(("FU", {"status": "2"}))).reason == "no_follow_up"


RESECTED = {"form": "CONV", "where": {"resected": "Y"}}
PCR_PARTS = {
    "kind": "binary",
    "positive": [{"form": "CONV", "where": {"resected": "Y", "viable_percent": {"le": 0}}}],
    "negative": [{"form": "CONV", "where": {"resected": "Y", "viable_percent": {"gt": 0}}}],
}
PCR = rule(code="PCR", population=[RESECTED], **PCR_PARTS)
PCR_ALL = rule(code="PCR_ALL", otherwise="negative", **PCR_PARTS)


@pytest.mark.parametrize(
    ("values", "per_resected", "per_treated"),
    [
        ({"resected": "Y", "viable_percent": "0"}, ("evaluable", 1), ("evaluable", 1)),
        ({"resected": "Y", "viable_percent": 10}, ("evaluable", 0), ("evaluable", 0)),
        ({"resected": "N"}, ("not_in_population", None), ("evaluable", 0)),
        ({"resected": "Y", "viable_percent": {"missing": "not_done"}}, ("not_evaluable", None), ("evaluable", 0)),
    ],
)
def test_pathological_complete_response_has_two_denominators(values, per_resected, per_treated):
    case = subject(("CONV", values))
    for endpoint, expected in ((PCR, per_resected), (PCR_ALL, per_treated)):
        result = evaluate(endpoint, case)
        assert (result.status, result.value.get("label")) == expected


RESPONSE = {
    "kind": "best_response",
    "start": "LEN.start_date",
    "baseline_sum": "TB.viable_sum",
    "assessments": {
        "form": "RESP",
        "date": "assessment_date",
        "target_sum": "viable_sum",
        "non_target": "non_target",
        "new_lesion": "new_lesion",
        "response": "response",
    },
}
START = ("LEN", {"start_date": "2025-03-01"})


def test_best_response_stops_at_progression():
    case = subject(
        START,
        ("TB", {"viable_sum": 100}),
        ("RESP", {"assessment_date": "2025-05-01", "viable_sum": 80}),
        ("RESP", {"assessment_date": "2025-07-01", "viable_sum": 96}),  # 20% over the nadir of 80
        ("RESP", {"assessment_date": "2025-09-01", "viable_sum": 0}),  # after progression: does not count
    )
    result = evaluate(rule(code="OR", **RESPONSE), case)
    assert (result.value["response"], result.value["label"], result.value["on"]) == ("SD", 0, "2025-05-01")
    assert [one["response"] for one in result.value["assessments"]] == ["SD", "PD"]


def respond(*assessments, **parts):
    """The best response of a baseline of 100 mm with these assessments, (date, values) each."""
    rows = [("RESP", {"assessment_date": on, **values}) for on, values in assessments]
    return evaluate(rule(code="OR", **RESPONSE | parts), subject(START, ("TB", {"viable_sum": 100}), *rows)).value


@pytest.mark.parametrize(
    ("values", "floor", "response"),
    [
        ({"viable_sum": 0}, 0, "CR"),
        ({"viable_sum": 0, "non_target": "CR"}, 0, "CR"),
        ({"viable_sum": 0, "non_target": "IR/SD"}, 0, "PR"),
        ({"viable_sum": 0, "new_lesion": "Y"}, 0, "PD"),
        ({"viable_sum": 70, "non_target": "PD"}, 0, "PD"),
        ({"viable_sum": 70, "response": "PD"}, 0, "PR"),  # the sum decides, not the reader's word
        ({"viable_sum": 120}, 0, "PD"),
        ({"viable_sum": 120}, 21, "SD"),
        ({"new_lesion": "Y", "response": "NE"}, 0, "PD"),  # whether the targets could be measured or not
        ({"non_target": "PD"}, 0, "PD"),
        ({"new_lesion": "N", "response": "SD"}, 0, "SD"),
        ({"viable_sum": -3, "response": "SD"}, 0, "SD"),
    ],
)
def test_targets_non_targets_and_new_lesions_make_one_response(values, floor, response):
    found = respond(("2025-05-01", values), progression_minimum_mm=floor)
    assert found["response"] == response


def test_progression_is_measured_from_the_smallest_sum_so_far():
    found = respond(
        ("2025-05-01", {"viable_sum": 50}), ("2025-07-01", {"viable_sum": 55}), ("2025-09-01", {"viable_sum": 60})
    )
    assert [one["response"] for one in found["assessments"]] == ["PR", "PR", "PD"]


def test_only_responses_between_the_start_and_its_end_count():
    visits = [(on, {"viable_sum": 100 - 20 * n}) for n, on in enumerate(("2025-02-20", "2025-05-01", "2025-07-01"))]
    late = ("2025-07-01", {"therapy_date": "2025-06-30"})
    early = ("2025-07-01", {"therapy_date": "2025-02-01"})
    assert [one["sum"] for one in respond(*visits)["assessments"]] == [80, 60]
    assert [one["sum"] for one in respond(*visits, late, until="RESP.therapy_date")["assessments"]] == [80]
    assert [one["sum"] for one in respond(*visits, early, until="RESP.therapy_date")["assessments"]] == [80, 60]


def test_a_recorded_response_is_used_where_no_sum_is():
    case = subject(START, ("RESP", {"assessment_date": "2025-05-01", "response": "PR"}))
    result = evaluate(rule(code="OR", **RESPONSE), case)
    assert (result.value["response"], result.value["label"]) == ("PR", 1)
    assert result.evidence[-1].item == "response"


def test_response_can_be_read_at_a_fixed_visit():
    case = subject(
        START,
        ("TB", {"viable_sum": 100}),
        ("RESP", {"assessment_date": "2025-04-01", "viable_sum": 60}),
        ("RESP", {"assessment_date": "2025-06-01", "viable_sum": 71}),
    )
    result = evaluate(rule(code="OR3", window=[80, 100], **RESPONSE), case)
    assert result.value["response"] == "SD"  # day 92: 71 is 18% over the nadir, 29% under the baseline


def test_nobody_assessed_is_not_a_non_responder_unless_the_rule_says_so():
    case = subject(START, ("TB", {"viable_sum": 100}))
    assert evaluate(rule(code="OR", **RESPONSE), case).status == "not_evaluable"
    result = evaluate(rule(code="ORITT", unassessed="non_responder", **RESPONSE), case)
    assert (result.status, result.value["label"]) == ("evaluable", 0)


RHS = rule(
    code="RHS6",
    kind="landmark",
    start="OPER.transplant_date",
    window=[150, 210],
    criteria=[
        {
            "code": "cytopenia",
            "any": [
                {"item": "platelets", "forms": ["LBPOST", "SP6M"], "date": "lab_date", "below": 100},
                {"item": "wbc", "forms": ["LBPOST", "SP6M"], "date": "lab_date", "below": 4},
            ],
            "count": 2,
            "apart_days": 7,
        },
        {"code": "splenomegaly", "any": [{"item": "spleen_length", "forms": ["SP6M"], "above": 12}]},
    ],
    events=[
        {
            "code": "splenectomy",
            "date": {"form": "HSEV", "item": "event_date", "where": {"kind": ["SPLENECTOMY"]}},
        }
    ],
    competing=[
        {"code": "death", "date": "STATUS.death_date"},
        {"code": "retransplantation", "date": "STATUS.retransplant_date"},
    ],
    excluded=[{"form": "SP6M", "where": {"other_cause": "Y"}}],
)
TRANSPLANT = ("OPER", {"transplant_date": "2025-01-01"})  # day 150 = 2025-05-31, day 180 = 06-30, day 210 = 07-30


def spleen(**values):
    return ("SP6M", {"spleen_length": 14, **values}, "D180", date(2025, 6, 30))


def count(on, **values):
    return ("LBPOST", {"lab_date": on, **values}, "D180")


@pytest.mark.parametrize(
    ("rows", "status", "label", "code"),
    [
        ([count("2025-06-10", platelets=60), spleen(platelets=70)], "evaluable", 1, "state"),
        # white cells on one date, platelets on the other: cytopenia on both
        ([count("2025-06-10", platelets=160, wbc=3.2), spleen(platelets=70)], "evaluable", 1, "state"),
        # four days apart: persistence is neither shown nor refuted
        ([count("2025-06-26", platelets=60), spleen(platelets=70)], "not_evaluable", None, None),
        ([count("2025-06-10", platelets=60), spleen(platelets=140, wbc=6)], "evaluable", 0, "none"),
        # seven days apart is far enough
        ([count("2025-06-23", platelets=60), spleen(platelets=70)], "evaluable", 1, "state"),
        # a normal count refutes cytopenia, whatever the spleen would have been
        ([count("2025-06-10", platelets=160)], "evaluable", 0, "none"),
        ([spleen(platelets=70)], "not_evaluable", None, None),  # one low count cannot show persistence
        ([count("2025-05-30", platelets=60), spleen(platelets=70)], "not_evaluable", None, None),  # day 149
        ([count("2025-06-10", platelets=60), spleen(platelets=70, spleen_length=11)], "evaluable", 0, "none"),
        ([spleen(other_cause="Y", platelets=70)], "not_evaluable", None, None),
        ([("HSEV", {"kind": "SPLENECTOMY", "event_date": "2025-03-01"})], "evaluable", 1, "splenectomy"),
        ([("HSEV", {"kind": "BLEEDING", "event_date": "2025-03-01"})], "not_evaluable", None, None),
        ([("STATUS", {"death_date": "2025-03-01"})], "competing", None, "death"),
        (
            [("STATUS", {"death_date": "2025-04-01"}), ("HSEV", {"kind": "SPLENECTOMY", "event_date": "2025-03-01"})],
            "evaluable",
            1,
            "splenectomy",
        ),
        # death after the state was measured in the window leaves the state known
        (
            [count("2025-06-10", platelets=60), spleen(platelets=70), ("STATUS", {"death_date": "2025-07-15"})],
            "evaluable",
            1,
            "state",
        ),
        # an operation before the transplant is history, not an endpoint
        ([("HSEV", {"kind": "SPLENECTOMY", "event_date": "2024-03-01"})], "not_evaluable", None, None),
        # and hides no later one
        (
            [("HSEV", {"kind": "SPLENECTOMY", "event_date": on}) for on in ("2024-03-01", "2025-03-01")],
            "evaluable",
            1,
            "splenectomy",
        ),
        # counts after re-transplantation are those of another graft
        (
            [
                count("2025-06-20", platelets=160),
                spleen(platelets=150),
                ("STATUS", {"retransplant_date": "2025-06-10"}),
            ],
            "competing",
            None,
            "retransplantation",
        ),
        # other causes are asked of the state, not of a competing event
        ([("STATUS", {"death_date": "2025-03-01"}), spleen(other_cause="Y")], "competing", None, "death"),
        # the earlier of the two decides, and on one day the operation
        *(
            (
                [("STATUS", {"death_date": "2025-03-01"}), ("HSEV", {"kind": "SPLENECTOMY", "event_date": on})],
                *decided,
            )
            for on, decided in (
                ("2025-03-02", ("competing", None, "death")),
                ("2025-03-01", ("evaluable", 1, "splenectomy")),
            )
        ),
    ],
)
def test_refractory_hypersplenism_at_six_months(rows, status, label, code):
    result = evaluate(RHS, subject(TRANSPLANT, *rows))
    assert (result.status, result.value.get("label"), result.value.get("code")) == (status, label, code)


def test_every_value_of_the_state_leads_to_its_record():
    result = evaluate(RHS, subject(TRANSPLANT, count("2025-06-10", platelets=60), spleen(platelets=70)))
    measured = [(one.record, one.item, one.used) for one in result.evidence if one.role == "measure"]
    assert measured == [(2, "platelets", 60.0), (3, "platelets", 70.0), (3, "spleen_length", 14.0)]


def test_change_takes_the_measurement_nearest_the_target_day():
    endpoint = rule(
        code="PLT",
        kind="change",
        start="OPER.transplant_date",
        baseline="LBPRE.platelets",
        measure="SP6M.platelets",
        window=[150, 210],
        target_day=180,
    )
    case = subject(
        TRANSPLANT,
        ("LBPRE", {"platelets": 50}),
        ("SP6M", {"platelets": 90}, "A", date(2025, 6, 1)),
        ("SP6M", {"platelets": 120}, "B", date(2025, 6, 28)),
    )
    assert evaluate(endpoint, case).value == {
        "baseline": 50.0,
        "value": 120.0,
        "on": "2025-06-28",
        "change": 70.0,
        "percent": 140.0,
    }


def test_a_wrong_file_is_refused_with_file_and_place(tmp_path):
    path = tmp_path / "endpoints.yaml"
    path.write_text("endpoints:\n  - {code: PFS, kind: time_to_event, version: '1'}\n", encoding="utf-8")
    with pytest.raises(BadEndpoints, match=r"endpoints\.yaml: endpoints\.0\.time_to_event\.start"):
        load_endpoints(path)


def test_two_endpoints_of_one_code_are_refused(tmp_path):
    parts = PCR.model_dump(mode="json", by_alias=True)
    with pytest.raises(ValueError, match="PCR is defined twice"):
        EndpointSet.model_validate({"endpoints": [parts, parts]})


def test_a_study_without_endpoints_has_none(tmp_path):
    assert load_endpoints(tmp_path / "endpoints.yaml").endpoints == ()
