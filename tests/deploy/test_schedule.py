"""Beat sends what workers know."""

from django.conf import settings

from deploy.celery import app


def test_the_nightly_job_is_scheduled_and_known_to_the_workers():
    app.loader.import_default_modules()
    entry = settings.CELERY_BEAT_SCHEDULE["nightly"]
    assert entry["task"] in app.tasks
    assert app.conf.beat_schedule["nightly"]["task"] == "analytics.tasks.nightly"
    assert entry["schedule"].hour == {settings.NIGHTLY_HOUR}


def test_a_task_is_not_lost_with_its_worker():
    assert app.conf.task_acks_late and app.conf.task_reject_on_worker_lost
