from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """Frozen snapshots, and the numbers made from them."""

    name = "analytics"
