"""Bring both studies from nothing to a report, through the services that people use. Each step done is not repeated."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from typing import TypeVar

from django.core.management import call_command

from analytics.models import Dataset, Evaluation, FeatureSet
from analytics.selectors import plans
from analytics.services import datasets, rules
from analytics.tasks import nightly
from crf.services import builds
from deploy import embedded, processes
from deploy.demo import accounts, cohort, entry, pool
from deploy.demo.cohort import Size
from deploy.demo.progress import Bar
from imaging.models import Segmentation
from registry.models import Job, Site, Study, User
from registry.services import identities, people

ACCOUNTS = embedded.VAR / "demo/accounts.json"
DATASET = "primary"
NIGHT_SECONDS = 3600
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, keep neighbours far apart in any list
T = TypeVar("T")
ELSEWHERE = "Set LOBULE_VAR to another folder, or begin anew with `rm -r var`."
# Why the PI locks although these are open: what real studies also have on the day of a lock. Nothing else may be open.
EXCEPTIONS = {
    "missing_form": "SYNTHETIC: visits missed by subjects who had died, progressed or were lost to follow-up",
    "missing_image": "SYNTHETIC: no image of the required sequence was taken",
}


class NotForDemo(RuntimeError):
    """This database is not one to fill with synthetic subjects; the message says why."""


class NightFailed(RuntimeError):
    """The nightly job did not end well; the message is its own."""


def everything(*, size: Size, bar: Bar, workers: int) -> None:
    """All phases in order; killed anywhere, the next call goes on where this one stopped."""
    call_command("migrate", verbosity=0, interactive=False)
    _refuse_real_studies()
    _refuse_other_size(size)
    bar.start("studies and accounts", 1)
    _define()
    with pool.pool(workers) as executor:
        sites = list(_sites(size))
        bar.start("enrolment", len(sites))
        enrolled = pool.each(executor, [(entry.enrol_site, site) for site in sites], bar.step)
        subjects = [(site[0], one) for site, ones in zip(sites, enrolled, strict=True) for one in ones]
        bar.start("records and images", len(subjects))
        pool.each(executor, [(entry.enter_subject, subject) for subject in mixed(subjects)], bar.step)
    with contextlib.ExitStack() as stack:
        # The worker starts while the PI locks; where nothing is left to do, none starts.
        started = {} if complete() else stack.enter_context(processes.running("worker"))
        bar.start("dataset locks", len(entry.FOLDERS))
        for study in studies():
            _lock(study)
            bar.step()
        _night(bar, started)
    bar.finish()


def mixed(subjects: list[T]) -> list[T]:
    """The same subjects, sites and studies mixed: an intake waits for another one of its site."""
    order = sorted(range(len(subjects)), key=lambda place: place * GOLDEN % 1)
    return [subjects[place] for place in order]


def studies() -> list[Study]:
    return [Study.objects.get(code=code) for code in entry.FOLDERS]


def complete() -> bool:
    """Whether every study has its dataset, with an evaluation for each plan: then there is nothing left to do."""
    locked = list(Dataset.objects.filter(study__code__in=entry.FOLDERS, name=DATASET))
    return len(locked) == len(entry.FOLDERS) and all(
        Evaluation.objects.filter(dataset=dataset, plan=plan.code).exists()
        for dataset in locked
        for plan in plans.plans(dataset.rules)
    )


def _refuse_real_studies() -> None:
    real = Study.objects.filter(synthetic=False).values_list("code", flat=True)
    if real:
        raise NotForDemo(
            f"This database holds real studies ({', '.join(real)}); synthetic subjects must not join them."
        )


def _refuse_other_size(size: Size) -> None:
    """A cohort of one size does not grow into the other: the same number is another subject there."""
    other: Size = "demo" if size == "full" else "full"
    for code in entry.FOLDERS:
        last = cohort.hospital_numbers(entry.plan(code), other)[-1]
        if last in cohort.hospital_numbers(entry.plan(code), size):
            continue
        if any(identities.find(site=site, hospital_number=last) for site in Site.objects.filter(study__code=code)):
            raise NotForDemo(f"This database holds the demo of the other size ({other}). {ELSEWHERE}")


def _define() -> None:
    by = people.system_user()
    for code, folder in entry.FOLDERS.items():
        try:
            build = builds.publish(definition=entry.plan(code).definition, synthetic=True, by=by)
        except builds.VersionTaken as problem:
            raise NotForDemo(f"{folder} is not what this database's demo was built from. {ELSEWHERE}") from problem
        rules.publish(study=build.study, folder=folder, by=by)
    accounts.make(studies(), accounts.passwords(ACCOUNTS), by)


def _sites(size: Size) -> Iterator[tuple[str, str, Size]]:
    for code in entry.FOLDERS:
        for site in entry.plan(code).definition.sites:
            yield code, site.code, size


def _lock(study: Study) -> None:
    """The PI looks at what is open, says why the lock goes on, and signs."""
    if Dataset.objects.filter(study=study, name=DATASET).exists():
        return
    by = User.objects.get(username="pi")
    found = datasets.preflight(study=study, by=by).counts
    exceptions = {kind: why for kind, why in EXCEPTIONS.items() if kind in found}
    password = accounts.passwords(ACCOUNTS)["pi"]
    datasets.lock(study=study, name=DATASET, password=password, exceptions=exceptions, by=by)


def _night(bar: Bar, started: dict[str, subprocess.Popen[bytes]]) -> None:
    """The nightly job on real workers, waited for; not again when it has nothing to do."""
    masks = Segmentation.objects.current().filter(series__study__in=studies()).count()
    bar.start("nightly job", masks)
    if complete():
        return
    before = Job.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    nightly.delay()
    deadline = time.monotonic() + NIGHT_SECONDS
    while not _night_is_over(before):
        processes.check(started)
        if time.monotonic() > deadline:
            raise NightFailed(f"The nightly job is not done after {NIGHT_SECONDS} s; see var/log/worker.log.")
        bar.to(FeatureSet.objects.count())
        time.sleep(0.5)


def _night_is_over(before: int) -> bool:
    jobs = list(Job.objects.filter(pk__gt=before))
    for job in jobs:
        if job.state == Job.State.FAILED:
            raise NightFailed(f"{job}: {job.error} (see var/log/worker.log)")
    return bool(jobs) and all(job.is_over for job in jobs) and complete()
