"""The job engine: `celery -A deploy worker` and `celery -A deploy beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.settings")

app = Celery("lobule")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
