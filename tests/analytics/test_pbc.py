"""Real input, end to end: 418 patients of the Mayo PBC trial are imported, locked, modelled and compared with R."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from analytics.selectors import plans
from analytics.selectors.frames import Locked
from analytics.services import datasets, evaluations
from analytics.stats import calibration, classification, roc, utility
from analytics.stats.cox import cox
from analytics.stats.kaplan_meier import kaplan_meier
from analytics.stats.log_rank import log_rank
from crf.definitions import load_study
from crf.definitions.mapping import read_mapping
from crf.definitions.model import StudyDefinition
from crf.services import builds, imports
from registry.services import people
from tests.analytics.cohort import publish_rules
from tests.study import PASSWORD, person

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

FOLDER = Path(__file__).parents[1] / "crf/data/pbc"
TEXT = "{zh: 死亡, en: Death}"
ENDPOINTS = f"""
endpoints:
  - code: DEAD5
    version: "1.0"
    kind: binary
    name: {TEXT}
    sentence: {{zh: 1825 天内死亡。, en: "Dead within 1,825 days; unknown where follow-up ended before."}}
    origin: standard
    positive: [{{form: FU, where: {{status: "2", days: {{le: 1825}}}}}}]
    negative: [{{form: FU, where: {{days: {{gt: 1825}}}}}}]
  - code: OS
    version: "1.0"
    kind: duration
    name: {TEXT}
    sentence: {{zh: 至死亡的时间，肝移植时删失。, en: "Time to death, censored at transplantation."}}
    origin: standard
    time: FU.days
    events: [{{code: death, where: {{status: "2"}}}}]
"""
PLAN = """
plans:
  - code: death-in-five-years
    outcome: DEAD5
    predictors: {laboratory: [BL.platelets, BL.bilirubin, BL.albumin, BL.prothrombin_time]}
    validation: {outer: 5, inner: 3, holdout: {group: VAL}}
    pipeline: {select: none, penalty: [1.0], l1_ratio: [0.0]}
    threshold: youden
    survival: [OS]
    seed: 418
    origin: standard
"""


def with_halves(text: str) -> bytes:
    """The real rows with one column more: the third of them that R held out (id divisible by 3)."""
    rows = list(csv.DictReader(io.StringIO(text)))
    out = io.StringIO()
    writer = csv.DictWriter(out, [*rows[0], "half"])
    writer.writeheader()
    writer.writerows(row | {"half": "VAL" if int(row["id"]) % 3 == 0 else "DEV"} for row in rows)
    return out.getvalue().encode()


@pytest.fixture
def dataset(shared, tmp_path):
    by = people.system_user()
    raw = json.loads(load_study(FOLDER).canonical_json())
    raw["groups"] = [{"code": code, "name": {"zh": code, "en": code}} for code in ("DEV", "VAL")]
    study = builds.publish(definition=StudyDefinition.from_json(raw), by=by).study
    mapping = read_mapping((FOLDER / "mapping.yaml").read_text(encoding="utf-8"), "mapping.yaml")
    mapping = mapping.model_copy(update={"group": type(mapping.subject)(column="half")})
    mapping = mapping.model_copy(update={"columns": mapping.columns | {"trt": _to(mapping, "BL.arm")}})
    imports.commit(
        study=study, content=with_halves((shared / "data/cohorts/pbc.csv").read_text()), mapping=mapping, by=by
    )
    publish_rules(study, tmp_path, endpoints=ENDPOINTS, plan=PLAN)
    pi = person("pi", study=study, role="pi")
    open_kinds = datasets.preflight(study=study, by=pi).counts
    assert not open_kinds
    return datasets.lock(study=study, name="pbc", password=PASSWORD, by=pi)


def _to(mapping, item):
    return type(next(iter(mapping.columns.values())))(item=item)


def r_value(shared: Path, name: str) -> tuple[float, float]:
    refs = json.loads((shared / "data/reference/statistics.json").read_text())["refs"]
    found = next(ref for ref in refs if ref["id"] == name)
    return found["value"], found["tol"]


def test_the_locked_pbc_trial_gives_rs_and_the_published_numbers(dataset, shared):
    locked = Locked(dataset)
    _survival_as_published(locked)
    _external_model_as_r(locked, shared)
    _own_model_on_the_held_out(dataset, shared)


def _survival_as_published(locked: Locked) -> None:
    ends = locked.frame("forms/FU").set_index("subject")
    base = locked.frame("forms/BL").set_index("subject").loc[ends.index]
    time, death = ends["days"].to_numpy(dtype=float), (ends["status"] == "2").to_numpy(dtype=int)
    os = locked.endpoint("OS").loc[ends.index]
    assert (os["days"].to_numpy() == time).all() and (os["event"].to_numpy() == death).all()
    # R: survfit(Surv(time, status == 2) ~ 1, pbc): 418 patients, 161 deaths, median 3395 days.
    curve = kaplan_meier(time, death)
    assert (curve.n, curve.n_events, curve.median.value) == (418, 161, 3395)
    # Fleming and Harrington (1991) §4.4: no difference between the arms; R: survdiff chisq 0.1 on 1 df, p 0.7.
    arms = base["arm"].notna().to_numpy()
    test = log_rank(time[arms], death[arms], base.loc[arms, "arm"].tolist())
    assert (round(test.chi2, 1), round(test.p, 1)) == (0.1, 0.7)
    # Dickson and others, Hepatology 1989: the Mayo risk score, from the 312 randomised patients.
    mayo = {
        "age": base["age"].to_numpy(dtype=float),
        "oedema": base["oedema"].astype(float).to_numpy(),
        "bilirubin": np.log(base["bilirubin"].to_numpy(dtype=float) / 17.1),
        "albumin": np.log(base["albumin"].to_numpy(dtype=float) / 10),
        "prothrombin_time": np.log(base["prothrombin_time"].to_numpy(dtype=float)),
    }
    model = cox(time[arms], death[arms], {name: values[arms] for name, values in mayo.items()})
    published = {"age": 0.039, "oedema": 0.859, "bilirubin": 0.871, "albumin": -2.53, "prothrombin_time": 2.38}
    for one in model.coefficients:
        assert one.beta == pytest.approx(published[one.name], abs=0.75 * one.se), one.name
    assert (model.n, model.events) == (312, 125)


def _external_model_as_r(locked: Locked, shared: Path) -> None:
    """The model that R fitted, judged on the outcome that the endpoint rule derived from the locked records."""
    label = locked.endpoint("DEAD5")["label"]
    order = {number: place for place, number in enumerate(sorted(label.index), start=1)}
    outcome = {order[number]: value for number, value in label.dropna().items()}
    with (shared / "data/cohorts/pbc_p2.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(outcome[int(row["id"])] == int(row["y"]) for row in rows)
    held_out = [row for row in rows if row["split"] == "val"]
    y = np.array([outcome[int(row["id"])] for row in held_out])
    p = np.array([float(row["p2"]) for row in held_out])
    table = classification.confusion_table(y, p, 0.3)
    found = {
        "auc.p2.val.auc": roc.auc(y, p).value,
        "auc.p2.val.delong_lo": roc.auc(y, p).lo,
        "auc.p2.val.delong_hi": roc.auc(y, p).hi,
        "confusion.p2.val.t30.tp": table.tp,
        "confusion.p2.val.t30.fp": table.fp,
        "hl.p2.val.chi2": calibration.hosmer_lemeshow(y, p).chi2,
        "hl.p2.val.p_df10": calibration.hosmer_lemeshow(y, p).p,
        "calib.p2.val.slope": calibration.recalibration(y, p).slope.value,
        "calib.p2.val.citl": calibration.recalibration(y, p).intercept.value,
        "dca.val.p2.t30": utility.decision_curve(y, p, thresholds=[0.3]).model[0],
    }
    for name, value in found.items():
        expected, tolerance = r_value(shared, name)
        assert value == pytest.approx(expected, abs=max(tolerance, 1e-12)), name


def _own_model_on_the_held_out(dataset, shared: Path) -> None:
    plan = plans.plan(dataset.rules, "death-in-five-years")
    made = evaluations.evaluate(dataset=dataset, plan=plan, by=people.system_user())
    headline = made.results["headline"]
    assert headline["split"] == "group"
    # R's model of the same half has other predictors (p2); ours must be as good within sampling error.
    lo, hi = (r_value(shared, f"auc.p2.val.delong_{end}")[0] for end in ("lo", "hi"))
    assert lo < headline["auc"]["value"] < hi
    signs = {name: value > 0 for name, value in made.results["models"]["laboratory"]["coefficients"].items()}
    assert signs == {"BL.platelets": False, "BL.bilirubin": True, "BL.albumin": False, "BL.prothrombin_time": True}
    survival = made.results["survival"]["OS"]["report"]
    assert survival["log_rank"]["p"] < 0.001
    assert survival["hazard_ratios"]["coefficients"][0]["hazard_ratio"]["lo"] > 1
