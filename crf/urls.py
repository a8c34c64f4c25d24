"""Addresses of forms and answers. A record's place is subject / visit / form / number."""

from django.urls import path

from crf import api
from crf.views import (
    approvals,
    board,
    build_changes,
    builds,
    calendar,
    drafts,
    exports,
    files,
    histories,
    imports,
    quality,
    queries,
    records,
    sdv,
    second_entries,
    studies,
    subjects,
    worklist,
)

STUDY = "studies/<slug:code>/"
SUBJECT = f"{STUDY}subjects/<str:number>/"
RECORD = f"{SUBJECT}visits/<slug:event>/<int:visit>/<slug:form>/<int:repeat>/"

app_name = "crf"
urlpatterns = [
    path(f"{STUDY}import/", imports.import_records, name="import-records"),
    path(f"{STUDY}import/<int:import_id>/", imports.import_preview, name="import"),
    path(f"{STUDY}import/<int:import_id>/columns/", imports.import_columns, name="import-columns"),
    path(f"{STUDY}import/<int:import_id>/refused.<str:format>", imports.import_refused, name="import-refused"),
    path(f"{STUDY}records/", studies.study_records, name="study-records"),
    path(f"{STUDY}today/", worklist.today, name="worklist"),
    path(f"{STUDY}casebooks/", board.casebooks, name="casebooks"),
    path(f"{STUDY}jump/", board.jump, name="jump"),
    path(f"{STUDY}exports/", exports.export_records, name="export-records"),
    path(f"{STUDY}exports/<int:export_id>/download/", exports.fetch_export, name="fetch-export"),
    path(f"{STUDY}calendar/", calendar.calendar, name="calendar"),
    path(f"{STUDY}calendar/feed/", calendar.change_feed, name="calendar-feed"),
    path("calendar/<str:token>.ics", calendar.feed, name="feed"),
    path(f"{STUDY}builds/", builds.builds, name="builds"),
    path(f"{STUDY}builds/upload/", build_changes.upload_build, name="upload-build"),
    path(f"{STUDY}builds/drafts/<int:draft_id>/", build_changes.build_draft, name="build-draft"),
    path(f"{STUDY}builds/drafts/<int:draft_id>/losses/", build_changes.draft_losses, name="draft-losses"),
    path(f"{STUDY}builds/drafts/<int:draft_id>/records/", build_changes.draft_records, name="draft-records"),
    path(f"{STUDY}builds/<int:build_id>/", builds.build, name="build"),
    path(f"{STUDY}builds/<int:build_id>/forms/<slug:form>/", builds.build_form, name="build-form"),
    path(f"{STUDY}builds/<int:build_id>/difference/", builds.build_difference, name="build-difference"),
    path(f"{STUDY}builds/<int:build_id>/download/<slug:kind>/", builds.download_build, name="download-build"),
    path(f"{STUDY}builds/<int:build_id>/release/", build_changes.release_build, name="release-build"),
    path(f"{STUDY}builds/<int:build_id>/migrate/", build_changes.migrate_records, name="migrate-records"),
    path(f"{STUDY}builds/<int:build_id>/weigh/", build_changes.weigh_build, name="weigh-build"),
    path(f"{STUDY}quality/", quality.dashboard, name="quality"),
    path(f"{STUDY}quality/forms/", quality.rows, name="quality-rows"),
    path(f"{STUDY}quality/findings/", quality.findings, name="quality-findings"),
    path(f"{STUDY}quality/findings/<int:finding_id>/", quality.dismiss, name="dismiss-finding"),
    path(f"{STUDY}quality/run/", quality.run, name="run-quality"),
    path(f"{STUDY}queries/", queries.query_list, name="queries"),
    path(f"{STUDY}queries/act/", queries.act_on_queries, name="act-on-queries"),
    path(f"{STUDY}queries/export/", queries.export_queries, name="export-queries"),
    path(f"{STUDY}queries/views/", queries.keep_view, name="keep-query-view"),
    path(f"{STUDY}queries/views/drop/", queries.drop_view, name="drop-query-view"),
    path(f"{STUDY}queries/<int:query_id>/", queries.query_page, name="query"),
    path(f"{STUDY}sdv/", sdv.overview, name="sdv"),
    path(f"{STUDY}sdv/verify/", sdv.verify_records, name="sdv-verify"),
    path(f"{STUDY}sdv/plan/", sdv.plan, name="sdv-plan"),
    path(f"{STUDY}subjects/enrol/", subjects.enrol_subject, name="enrol-subject"),
    path(SUBJECT, subjects.subject, name="subject"),
    path(f"{SUBJECT}visits/<slug:event>/add/", subjects.add_visit, name="add-visit"),
    path(f"{SUBJECT}visits/<slug:event>/<int:visit>/verify/", sdv.verify_visit, name="verify-visit"),
    path(RECORD, records.edit_record, name="edit-record"),
    path(f"{RECORD}evaluate/", records.evaluate_record, name="evaluate-record"),
    path(f"{RECORD}draft/", drafts.keep_draft, name="draft"),
    path(f"{RECORD}draft/discard/", drafts.discard_draft, name="discard-draft"),
    path(f"{RECORD}presence/", drafts.tell_presence, name="presence"),
    path(f"{RECORD}files/<str:item>/", files.add_file, name="add-file"),
    path(f"{RECORD}file/<uuid:file>/", files.serve_file, name="file"),
    path(f"{RECORD}second/", second_entries.enter_second, name="second-entry"),
    path(f"{RECORD}second/compare/", second_entries.compare_entries, name="compare-entries"),
    path(f"{RECORD}queries/", queries.place_queries, name="place-queries"),
    path(f"{RECORD}sdv/", sdv.record_sdv, name="sdv-record"),
    path(f"{RECORD}verify/", approvals.verify_record, name="verify-record"),
    path(f"{RECORD}sign/", approvals.sign_record, name="sign-record"),
    path(f"{RECORD}unlock/", approvals.unlock_record, name="unlock-record"),
    path(f"{RECORD}history/", histories.record_history, name="record-history"),
    path(f"api/{STUDY}subjects/", api.SubjectList.as_view(), name="api-subjects"),
    path(f"api/{STUDY}queries/", api.QueryList.as_view(), name="api-queries"),
    path(f"api/{STUDY}queries/<int:query_id>/", api.QueryDetail.as_view(), name="api-query"),
    *(
        path(
            f"api/{STUDY}queries/<int:query_id>/{act}/", api.QueryStep.as_view(), {"act": act}, name=f"api-query-{act}"
        )
        for act in ("answer", "close", "reopen", "comment")
    ),
    path(f"api/{SUBJECT}records/", api.RecordList.as_view(), name="api-records"),
    path(f"api/{RECORD}", api.RecordDetail.as_view(), name="api-record"),
    path(f"{RECORD}history/<str:item>/", histories.item_history, name="item-history"),
]
