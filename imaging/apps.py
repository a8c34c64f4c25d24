from django.apps import AppConfig


class ImagingConfig(AppConfig):
    """Images: received through one gate, sorted, matched, segmented."""

    name = "imaging"

    def ready(self) -> None:
        from crf.selectors.series import tell_series
        from imaging.selectors import series_choices

        tell_series(series_choices)
