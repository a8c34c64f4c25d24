"""The composition root: settings, urls, processes. It imports every app; no app imports it."""

from deploy.celery import app as celery_app

__all__ = ["celery_app"]
