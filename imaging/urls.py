"""Addresses of the imaging pages."""

from django.urls import path

from imaging.views import segmentations, series, upload

app_name = "imaging"
urlpatterns = [
    path("studies/<slug:code>/images/", series.images, name="images"),
    path("studies/<slug:code>/images/upload/", upload.upload, name="upload"),
    path("studies/<slug:code>/images/intakes/<int:intake_id>/", upload.intake, name="intake"),
    path("studies/<slug:code>/images/<int:series_id>/", series.series, name="series"),
    path("studies/<slug:code>/images/<int:series_id>/match/", series.match, name="match"),
    path("studies/<slug:code>/images/<int:series_id>/thumbnail.png", series.thumbnail, name="thumbnail"),
    path("studies/<slug:code>/images/<int:series_id>/volume.nii.gz", series.download, name="download"),
    path(
        "studies/<slug:code>/images/<int:series_id>/segmentations/",
        segmentations.add_segmentation,
        name="add-segmentation",
    ),
    path("studies/<slug:code>/images/segmentations/<int:mask_id>.nii.gz", series.mask, name="mask"),
    path("studies/<slug:code>/subjects/<str:number>/images/", series.subject_series, name="subject-series"),
]
