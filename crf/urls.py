"""Addresses of forms and answers. A record's place is subject / visit / form / number."""

from django.urls import path

from crf.views import histories, records, studies, subjects

STUDY = "studies/<slug:code>/"
SUBJECT = f"{STUDY}subjects/<str:number>/"
RECORD = f"{SUBJECT}visits/<slug:event>/<int:visit>/<slug:form>/<int:repeat>/"

app_name = "crf"
urlpatterns = [
    path(f"{STUDY}records/", studies.study_records, name="study-records"),
    path(f"{STUDY}subjects/enrol/", subjects.enrol_subject, name="enrol-subject"),
    path(SUBJECT, subjects.subject, name="subject"),
    path(f"{SUBJECT}visits/<slug:event>/add/", subjects.add_visit, name="add-visit"),
    path(RECORD, records.edit_record, name="edit-record"),
    path(f"{RECORD}evaluate/", records.evaluate_record, name="evaluate-record"),
    path(f"{RECORD}history/", histories.record_history, name="record-history"),
    path(f"{RECORD}history/<slug:item>/", histories.item_history, name="item-history"),
]
