from django.apps import AppConfig


class CrfConfig(AppConfig):
    """Forms: what is asked, what was answered, what is still open."""

    name = "crf"
