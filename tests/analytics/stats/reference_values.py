"""Our value for each reference id of ../shared/data/reference/statistics.json: one function per group of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics.stats import agreement, calibration, classification, roc, utility
from analytics.stats.concordance import harrell_c, uno_c
from analytics.stats.cox import CoxModel, ProportionalHazards, cox, proportional_hazards
from analytics.stats.kaplan_meier import kaplan_meier, median_follow_up, numbers_at_risk, restricted_mean, survival_at
from analytics.stats.log_rank import log_rank, pairwise_log_rank
from analytics.stats.multiplicity import adjust

Values = Iterator[tuple[str, Any]]

# Not computed by analytics/stats yet; everything else in the file is.
NOT_COVERED = (
    "cutpoint.",  # maximally selected log-rank cut
    "zphold.",  # pre-3.0 approximation of cox.zph, superseded by the score test
    "cox.lung.breslow.",  # the project fits Efron's ties only
    "rubin.",  # pooling of multiple imputations
    "combat.",  # harmonisation belongs to analytics/learning
    "samplesize.",
)


def values(cohorts: Path) -> dict[str, float]:
    """Every covered id with the value our functions give on the cohort files."""
    return {name: value for group in GROUPS for name, value in group(cohorts)}


def _auc(cohorts: Path) -> Values:
    data = pd.read_csv(cohorts / "pbc_p2.csv")
    for split in ("dev", "val"):
        y, p = (data.loc[data.split == split, column].to_numpy() for column in ("y", "p2"))
        wald, logit = roc.auc(y, p), roc.auc(y, p, interval="logit")
        yield f"auc.p2.{split}.auc", wald.value
        yield f"auc.p2.{split}.delong_se", wald.se
        yield f"auc.p2.{split}.delong_lo", wald.lo
        yield f"auc.p2.{split}.delong_hi", wald.hi
        yield f"auc.p2.{split}.logit_lo", logit.lo
        yield f"auc.p2.{split}.logit_hi", logit.hi
        se = roc.hanley_mcneil_se(wald.value, events=int(y.sum()), non_events=int((1 - y).sum()))
        yield f"auc.p2.{split}.hanley_mcneil_se", se


def _asah(cohorts: Path) -> Values:
    data = pd.read_csv(cohorts / "aSAH.csv")
    for marker in ("wfns", "s100b", "ndka", "age"):
        area = roc.auc(data.y, data[marker])
        yield f"asah.{marker}.auc", area.value
        yield f"asah.{marker}.lo", area.lo
        yield f"asah.{marker}.hi", area.hi
    for a, b in (("wfns", "s100b"), ("wfns", "ndka"), ("s100b", "ndka")):
        test = roc.compare_auc(data.y, data[a], data[b])
        yield f"asah.{a}_vs_{b}.Z", test.z
        yield f"asah.{a}_vs_{b}.p", test.p
    yield "asah.s100b.sens_at_spec90_interp", roc.sensitivity_at_specificity(data.y, data.s100b, 0.9)


def _validation(cohorts: Path) -> tuple[np.ndarray, np.ndarray]:
    data = pd.read_csv(cohorts / "pbc_p2.csv").query("split == 'val'")
    return data.y.to_numpy(), data.p2.to_numpy()


def _confusion(cohorts: Path) -> Values:
    y, p = _validation(cohorts)
    result = classification.classify(classification.confusion_table(y, p, 0.3))
    start = "confusion.p2.val.t30"
    for cell in ("tp", "fp", "fn", "tn"):
        yield f"{start}.{cell}", getattr(result.table, cell)
    rates = {"sens": "sensitivity", "spec": "specificity", "ppv": "ppv", "npv": "npv", "acc": "accuracy"}
    for short, name in rates.items():
        rate = getattr(result, name)
        yield f"{start}.{short}", rate.value
        yield f"{start}.{short}.exact_lo", rate.exact.lo
        yield f"{start}.{short}.exact_hi", rate.exact.hi
        yield f"{start}.{short}.wilson_lo", rate.wilson.lo
        yield f"{start}.{short}.wilson_hi", rate.wilson.hi
    for short, name in {"f1": "f1", "bal_acc": "balanced_accuracy", "youden": "youden", "mcc": "mcc"}.items():
        yield f"{start}.{short}", getattr(result, name)
    for short, name in {
        "lr_pos": "lr_positive", "lr_neg": "lr_negative", "diag_or": "diagnostic_odds_ratio"
    }.items():  # fmt: skip
        ratio = getattr(result, name)
        yield f"{start}.{short}", ratio.value
        yield f"{start}.{short}_lo", ratio.lo
        yield f"{start}.{short}_hi", ratio.hi


def _calibration(cohorts: Path) -> Values:
    data = pd.read_csv(cohorts / "pbc_p2.csv")
    for split in ("dev", "val"):
        y, p = (data.loc[data.split == split, column].to_numpy() for column in ("y", "p2"))
        external = calibration.hosmer_lemeshow(y, p, dataset="external")
        yield f"hl.p2.{split}.chi2", external.chi2
        yield f"hl.p2.{split}.p_df10", external.p
        yield f"hl.p2.{split}.p_df8", calibration.hosmer_lemeshow(y, p, dataset="development").p
    fit, brier = calibration.recalibration(y, p), calibration.brier_score(y, p)
    smooth, rms = calibration.calibration_curve(y, p), calibration.calibration_curve(y, p, smoother="lowess")
    found = {
        "slope": fit.slope.value, "slope_lo": fit.slope.lo, "slope_hi": fit.slope.hi,
        "citl": fit.intercept.value, "citl_lo": fit.intercept.lo, "citl_hi": fit.intercept.hi,
        "intercept_joint": fit.joint_intercept, "lr_chi2_2df": fit.likelihood_ratio, "lr_p_2df": fit.p,
        "brier": brier.brier.value, "brier_scaled": brier.scaled, "logloss": brier.log_loss,
        "spiegelhalter_z": brier.spiegelhalter_z, "spiegelhalter_p": brier.spiegelhalter_p,
        "oe": calibration.observed_expected(y, p).value, "ICI_loess": smooth.ici,
        "valprob_Emax": rms.emax, "valprob_E90": rms.e90, "valprob_Eavg": rms.ici,
        "ece10_equalwidth": calibration.expected_calibration_error(y, p, equal="width"),
        "ece10_equalfreq": calibration.expected_calibration_error(y, p, equal="frequency"),
    }  # fmt: skip
    for name, value in found.items():
        yield f"calib.p2.val.{name}", value


def _decision(cohorts: Path) -> Values:
    y, p = _validation(cohorts)
    curve = utility.decision_curve(y, p, thresholds=utility.threshold_grid(0.05, 0.95, 0.05))
    for threshold, benefit in zip(curve.thresholds, curve.model, strict=True):
        yield f"dca.val.p2.t{round(threshold * 100):02d}", benefit


def _km_lung(cohorts: Path) -> Values:
    data = pd.read_csv(cohorts / "lung.csv")
    for interval in ("log", "log-log", "plain"):
        curve, short = kaplan_meier(data.time, data.event, interval=interval), interval.replace("-", "")
        year = survival_at(curve, 365.25)
        yield f"km.lung.all.median_lo_{short}", curve.median.lo
        yield f"km.lung.all.median_hi_{short}", curve.median.hi
        yield f"km.lung.all.S1y_lo_{short}", year.survival.lo
        yield f"km.lung.all.S1y_hi_{short}", year.survival.hi
    yield "km.lung.all.median", curve.median.value
    yield "km.lung.all.S1y", year.survival.value
    yield "km.lung.all.S1y_se", year.survival.se
    yield "km.lung.all.atrisk_365", year.at_risk
    yield "km.lung.median_followup_reverseKM", median_follow_up(data.time, data.event).value


def _km_by_sex(cohorts: Path) -> Values:
    data = pd.read_csv(cohorts / "lung.csv")
    for sex, rows in data.groupby("sex"):
        start, curve = f"km.lung.sex{sex}", kaplan_meier(rows.time, rows.event)
        plain_log = kaplan_meier(rows.time, rows.event, interval="log")
        yield f"{start}.n", curve.n
        yield f"{start}.events", curve.n_events
        yield f"{start}.median", curve.median.value
        yield f"{start}.median_lo_loglog", curve.median.lo
        yield f"{start}.median_hi_loglog", curve.median.hi
        yield f"{start}.median_lo_log", plain_log.median.lo
        yield f"{start}.median_hi_log", plain_log.median.hi
        for time, count in zip((180, 365, 730), numbers_at_risk(rows.time, rows.event, (180, 365, 730)), strict=True):
            yield f"{start}.S_{time}", survival_at(curve, time).survival.value
            yield f"{start}.atrisk_{time}", count
        mean = restricted_mean(rows.time, rows.event, 730).estimate
        yield f"{start}.rmst730", mean.value
        yield f"{start}.rmst730_se", mean.se


def _km_veteran(cohorts: Path) -> Values:
    data = pd.read_csv(cohorts / "veteran.csv")
    for arm, rows in data.groupby("trt"):
        median = kaplan_meier(rows.time, rows.status, interval="log").median
        yield f"km.veteran.trt{arm}.median", median.value
        yield f"km.veteran.trt{arm}.lo_log", median.lo
        yield f"km.veteran.trt{arm}.hi_log", median.hi


def _log_rank(cohorts: Path) -> Values:
    lung, veteran = pd.read_csv(cohorts / "lung.csv"), pd.read_csv(cohorts / "veteran.csv")
    known = lung.dropna(subset=["ph.ecog"])
    three = known[known["ph.ecog"] <= 2]
    groups = pd.read_csv(cohorts / "lung_riskgroups.csv")
    tests = {
        "lung.sex": log_rank(lung.time, lung.event, lung.sex),
        "lung.ecog012": log_rank(three.time, three.event, three["ph.ecog"]),
        "veteran.celltype": log_rank(veteran.time, veteran.status, veteran.celltype),
        "veteran.trt": log_rank(veteran.time, veteran.status, veteran.trt),
    }
    for name, test in tests.items():
        yield f"logrank.{name}.chi2", test.chi2
        yield f"logrank.{name}.p", test.p
    yield "logrank.lung.sex.chi2_peto_rho1", log_rank(lung.time, lung.event, lung.sex, rho=1).chi2
    stratified = log_rank(known.time, known.event, known.sex, strata=known["ph.ecog"])
    yield "logrank.lung.sex_stratified_ecog.chi2", stratified.chi2
    yield "riskgroup.lung.logrank_chi2", log_rank(groups.time, groups.event, groups.grp).chi2
    for pair in pairwise_log_rank(veteran.time, veteran.status, veteran.celltype, adjustment="bh"):
        yield f"logrank.veteran.pairwise_raw_p.{pair.first}_vs_{pair.second}", pair.test.p
        yield f"logrank.veteran.pairwise_BH_p.{pair.first}_vs_{pair.second}", pair.p_adjusted


def _cox_of(start: str, model: CoxModel) -> Values:
    for row in model.coefficients:
        name = row.name.replace(".", "_").replace("[", "").replace("]", "")
        yield f"{start}.{name}.beta", row.beta
        yield f"{start}.{name}.se", row.se
        yield f"{start}.{name}.hr", row.hazard_ratio.value
        yield f"{start}.{name}.hr_lo", row.hazard_ratio.lo
        yield f"{start}.{name}.hr_hi", row.hazard_ratio.hi
        yield f"{start}.{name}.p", row.p
    yield f"{start}.loglik", model.log_likelihood
    yield f"{start}.lrt", model.likelihood_ratio.chi2
    yield f"{start}.score", model.score.chi2
    yield f"{start}.C", model.concordance.value
    yield f"{start}.C_se", model.concordance.se


def _zph_of(start: str, test: ProportionalHazards) -> Values:
    for name, result in [*test.terms, ("GLOBAL", test.overall)]:
        yield f"{start}.{name.replace('.', '_')}.chi2", result.chi2
        yield f"{start}.{name.replace('.', '_')}.p", result.p


def _cox_lung(cohorts: Path) -> Values:
    lung = pd.read_csv(cohorts / "lung.csv")
    known = lung.dropna(subset=["ph.ecog"])
    columns = {name: known[name].to_numpy() for name in ("age", "sex", "ph.ecog")}
    model = cox(known.time, known.event, columns)
    yield from _cox_of("cox.lung.efron", model)
    for transform in ("km", "rank", "identity", "log"):
        test = proportional_hazards(known.time, known.event, columns, transform=transform)
        yield from _zph_of(f"zph.lung.{transform}", test)
    score = np.column_stack(list(columns.values())) @ [row.beta for row in model.coefficients]
    yield "cindex.lung.uno", uno_c(known.time, known.event, score).value
    yield "cindex.lung.harrell_age_only", harrell_c(lung.time, lung.event, lung.age).value
    groups = pd.read_csv(cohorts / "lung_riskgroups.csv")
    ratio = cox(groups.time, groups.event, {"grp": groups.grp}, levels={"grp": ["low", "high"]}).coefficients[0]
    yield "riskgroup.lung.HR", ratio.hazard_ratio.value
    yield "riskgroup.lung.HR_lo", ratio.hazard_ratio.lo
    yield "riskgroup.lung.HR_hi", ratio.hazard_ratio.hi


def _cox_veteran(cohorts: Path) -> Values:
    data = pd.read_csv(cohorts / "veteran.csv")
    columns = {name: data[name].to_numpy() for name in ("trt", "celltype", "karno", "age")}
    levels = {"celltype": ["squamous", "smallcell", "adeno", "large"]}
    yield from _cox_of("cox.veteran.efron", cox(data.time, data.status, columns, levels=levels))
    yield from _zph_of("zph.veteran.km", proportional_hazards(data.time, data.status, columns, levels=levels))


def _agreement(cohorts: Path) -> Values:
    ratings = pd.read_csv(cohorts / "shrout_fleiss.csv").to_numpy()
    for kind in "123":
        for unit, suffix in (("1", ""), ("k", "k")):
            found, start = agreement.icc(ratings, form=f"{kind},{unit}"), f"icc.sf.ICC{kind}{suffix}"
            yield f"{start}.icc", found.estimate.value
            yield f"{start}.F", found.f
            yield f"{start}.lo", found.estimate.lo
            yield f"{start}.hi", found.estimate.hi
    simple = agreement.kappa_of_table(pd.read_csv(cohorts / "kappa2x2.csv"))
    yield "kappa.2x2.kappa", simple.value
    yield "kappa.2x2.ase", simple.se
    readers = pd.read_csv(cohorts / "mrecist_two_readers.csv", index_col=0)
    for name, weights in (("unweighted", "none"), ("linear", "linear"), ("quadratic", "quadratic")):
        weighted = agreement.kappa_of_table(readers, weights=weights)
        yield f"kappa.mrecist4.{name}", weighted.value
        yield f"kappa.mrecist4.{name}_ase", weighted.se
    yield "kappa.fleiss", agreement.fleiss_kappa(pd.read_csv(cohorts / "fleiss_counts.csv"))
    pair = pd.read_csv(cohorts / "bland_altman.csv")
    limits = agreement.limits_of_agreement(pair.a, pair.b)
    yield "blandaltman.bias", limits.bias
    yield "blandaltman.sd", limits.sd
    yield "blandaltman.loa_lo", limits.lo
    yield "blandaltman.loa_hi", limits.hi
    yield "ccc.lin", agreement.concordance_correlation(pair.a, pair.b)


def _adjusted(_: Path) -> Values:
    p = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]
    for name, method in (("BH", "bh"), ("holm", "holm")):
        for i, value in enumerate(adjust(p, method=method), 1):
            yield f"padj.{name}.{i}", value


GROUPS: tuple[Callable[[Path], Values], ...] = (
    _auc, _asah, _confusion, _calibration, _decision, _km_lung, _km_by_sex, _km_veteran, _log_rank,
    _cox_lung, _cox_veteran, _agreement, _adjusted,
)  # fmt: skip
