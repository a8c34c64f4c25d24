from django.apps import AppConfig


class ImagingConfig(AppConfig):
    """Images: received through one gate, sorted, matched, segmented."""

    name = "imaging"
