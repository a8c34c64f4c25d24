"""A cohort of the small study, entered through the services, with rules and a plan: what the tests lock and analyse."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from analytics.services import rules
from registry.models import Study, User
from registry.services import people
from tests.study import enrol, enter

ENDPOINTS = """
endpoints:
  - code: LOWALB
    version: "1.0"
    kind: binary
    name: {zh: 一月低白蛋白, en: Low albumin at one month}
    sentence: {zh: 第 1 月白蛋白低于 35 g/L。, en: Albumin below 35 g/L at month 1.}
    origin: assumed
    start: {form: LB, item: lb_date, events: [BASELINE]}
    positive: [{form: LB, events: [MONTH1], where: {albumin: {lt: 35}}}]
    negative: [{form: LB, events: [MONTH1], where: {albumin: {ge: 35}}}]
  - code: TIME
    version: "1.0"
    kind: time_to_event
    name: {zh: 至低白蛋白时间, en: Time to low albumin}
    sentence: {zh: 至首次白蛋白低于 35 g/L 的时间。, en: Time to the first albumin below 35 g/L.}
    origin: assumed
    start: {form: LB, item: lb_date, events: [BASELINE]}
    events:
      - {code: low, date: {form: LB, item: lb_date, events: [MONTH1], where: {albumin: {lt: 35}}}}
    censor: LB.lb_date
"""
PLAN = """
plans:
  - code: low-albumin
    title: {zh: 低白蛋白预测, en: Prediction of low albumin}
    outcome: LOWALB
    predictors:
      age: [DM.age]
      laboratory: [BASELINE.LB.albumin, BASELINE.LB.bilirubin, DM.sex]
      both: [age, laboratory]
    validation: {outer: 2, inner: 2, holdout: {site: leave-one-site-out}}
    pipeline: {select: none, penalty: [1.0], l1_ratio: [0.0]}
    threshold: youden
    survival: [TIME]
    seed: 11
"""


def publish_rules(study: Study, folder: Path, *, endpoints: str = ENDPOINTS, plan: str = PLAN) -> None:
    (folder / "endpoints.yaml").write_text(endpoints, encoding="utf-8")
    (folder / "analysis.yaml").write_text(plan, encoding="utf-8")
    rules.publish(study=study, folder=folder, by=people.system_user())


def fill(study: Study, *, by: User, size: int = 24) -> None:
    """`size` subjects at two sites, every due form complete; albumin at one month follows that at baseline."""
    random = np.random.default_rng(5)
    sites = list(study.sites.order_by("code"))
    for number in range(size):
        subject = enrol(sites[number % 2], by=by, on=dt.date(2026, 3, 2))
        albumin = float(np.round(random.normal(38, 5), 1))
        later = float(np.round(albumin + random.normal(-3, 1), 1))
        about = {"age": str(random.integers(30, 75)), "sex": "FM"[number % 2]}
        enter(subject, "DM", about, by=by, complete=True)
        blood = {"albumin": str(albumin), "bilirubin": str(np.round(random.uniform(8, 60), 1))}
        enter(subject, "LB", {"lb_date": "2026-03-02", **blood}, by=by, complete=True)
        blood["albumin"] = str(later)
        enter(subject, "LB", {"lb_date": "2026-04-01", **blood}, by=by, event="MONTH1", complete=True)
