"""The doors of analytics."""

from django.urls import path

from analytics.views import datasets, evaluations

app_name = "analytics"
STUDY = "studies/<slug:code>"
DATASET = f"{STUDY}/datasets/<int:dataset_id>"
EVALUATION = f"{STUDY}/evaluations/<int:evaluation_id>"
urlpatterns = [
    path(f"{STUDY}/datasets/", datasets.list_datasets, name="datasets"),
    path(f"{STUDY}/datasets/lock/", datasets.lock_dataset, name="lock-dataset"),
    path(f"{DATASET}/", datasets.dataset, name="dataset"),
    path(f"{DATASET}/manifest.json", datasets.dataset_manifest, name="dataset-manifest"),
    path(f"{DATASET}/verify/", datasets.verify_dataset, name="verify-dataset"),
    path(f"{DATASET}/evaluate/", evaluations.start_evaluation, name="start-evaluation"),
    path(f"{STUDY}/evaluations/", evaluations.list_evaluations, name="evaluations"),
    path(f"{EVALUATION}/", evaluations.evaluation, name="evaluation"),
    path(f"{EVALUATION}/report/", evaluations.report, name="report"),
    path(f"{EVALUATION}/report.<str:language>.html", evaluations.report_file, name="report-file"),
    path(f"{EVALUATION}/figures/<str:language>/<slug:name>.svg", evaluations.figure, name="figure"),
]
