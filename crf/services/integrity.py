"""Check that records and their histories tell the same story."""

from __future__ import annotations

from django.db import connection

from registry.services.seals import Problem

# Each query returns (table, key, message) of rows that can't be, whatever the triggers let through.
CHECKS = {
    "digest_of_record": """
        SELECT 'crf_record', id, 'record ' || id || ': its content does not give its digest' FROM crf_record
        WHERE digest <> crf_record_digest(
            subject_id, visit_id, form, repeat, build_id, status, revision, data, comments)
    """,
    "digest_of_history": """
        SELECT 'crf_historicalrecord', history_id, 'record ' || id || ' revision ' || revision ||
            ': its history content does not give its digest' FROM crf_historicalrecord
        WHERE digest <> crf_record_digest(
            subject_id, visit_id, form, repeat, build_id, status, revision, data, comments)
    """,
    "record_differs_from_history": """
        SELECT 'crf_record', r.id, 'record ' || r.id || ' revision ' || r.revision || ' has no history of this content'
        FROM crf_record r LEFT JOIN crf_historicalrecord h USING (id, revision, digest) WHERE h.history_id IS NULL
    """,
    "revision_missing": """
        SELECT 'crf_historicalrecord', min(history_id), 'record ' || id || ': revisions 1 to ' || max(revision) ||
            ' should be ' || max(revision) || ' rows, not ' || count(*)
        FROM crf_historicalrecord GROUP BY id HAVING count(*) <> max(revision) OR min(revision) <> 1
    """,
    "history_without_record": """
        SELECT 'crf_historicalrecord', min(h.history_id), 'record ' || h.id || ' was removed; its history remains'
        FROM crf_historicalrecord h LEFT JOIN crf_record r ON r.id = h.id WHERE r.id IS NULL GROUP BY h.id
    """,
    "history_ahead_of_record": """
        SELECT 'crf_record', r.id, 'record ' || r.id || ' is at revision ' || r.revision ||
            ', its history at ' || max(h.revision)
        FROM crf_record r JOIN crf_historicalrecord h ON h.id = r.id GROUP BY r.id, r.revision
        HAVING max(h.revision) > r.revision
    """,
}


def problems() -> list[Problem]:
    """Every record or history row that contradicts the audit guarantee, named."""
    found = []
    with connection.cursor() as cursor:
        for kind, query in CHECKS.items():
            cursor.execute(query)
            found += [Problem(kind, table, key, message) for table, key, message in cursor.fetchall()]
    return found
