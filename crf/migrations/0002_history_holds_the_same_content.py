"""The audit guarantee (DESIGN §5): a record's (id, revision, digest) must exist in its history at commit."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION crf_record_digest(
    subject_id bigint, visit_id bigint, form text, repeat integer, build_id bigint,
    status text, revision integer, data jsonb, comments jsonb
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT encode(sha256(convert_to(
        jsonb_build_array(subject_id, visit_id, form, repeat, build_id, status, revision, data, comments)::text,
        'UTF8')), 'hex')
$$;
ALTER TABLE crf_historicalrecord
    ADD CONSTRAINT history_of_one_revision_and_content UNIQUE (id, revision, digest);
ALTER TABLE crf_record
    ADD CONSTRAINT record_has_its_history FOREIGN KEY (id, revision, digest)
    REFERENCES crf_historicalrecord (id, revision, digest) DEFERRABLE INITIALLY DEFERRED;
"""

BACKWARD = """
ALTER TABLE crf_record DROP CONSTRAINT record_has_its_history;
ALTER TABLE crf_historicalrecord DROP CONSTRAINT history_of_one_revision_and_content;
DROP FUNCTION crf_record_digest(bigint, bigint, text, integer, bigint, text, integer, jsonb, jsonb);
"""


class Migration(migrations.Migration):
    dependencies = [("crf", "0001_records_begin")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
