"""Uploaded definitions: read, found sound, kept as drafts under review, then published or thrown away."""

from __future__ import annotations

import hashlib
import json

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from crf.definitions.errors import DefinitionError, DefinitionErrors
from crf.definitions.model import StudyDefinition, Version
from crf.definitions.verify import verify
from crf.exchange import formats, yaml_zip
from crf.exchange.loss import Imported, Loss, refused
from crf.exchange.odm_read import OTHER_STUDY
from crf.exchange.settle import settle
from crf.models import BuildDraft, StudyBuild
from crf.selectors import NoBuild, current_build
from crf.services import builds, migrate
from registry import audit
from registry.models import Study, User
from registry.permissions import Permission, authorise

MOST_LOSSES = 20_000
# What another system's file does not know of this study, and its present build does.
OURS = ("code", "title", "short_title", "registration_number", "protocol", "subject_number", "synthetic", "sites")
_VERSION: TypeAdapter[str] = TypeAdapter(Version)


def upload(*, study: Study, file_name: str, content: bytes, version: str = "", by: User) -> BuildDraft:
    """Read a zip of a study folder, ODM, REDCap or XLSForm as the study's next version, and keep it for review.

    `version` names the version where the file does not, or otherwise. Raises DefinitionErrors with every fault, or
    builds.VersionTaken; then nothing is kept.
    """
    authorise(by, Permission.BUILD_IMPORT, study=study)
    read = _read(study, file_name, content, version)
    definition = read.definition
    builds.refuse_version(study, definition)
    digest = definition.sha256()
    with audit.change(by=by):
        draft = BuildDraft.objects.create(
            study=study,
            file_name=file_name[:200],
            file_sha256=hashlib.sha256(content).hexdigest(),
            definition=json.loads(definition.canonical_json()),
            version=definition.version,
            sha256=digest,
            losses=[loss.as_dict() for loss in read.losses[:MOST_LOSSES]],
            uploaded_by=by,
        )
        details = {"version": definition.version, "sha256": digest, "file": draft.file_name, "draft": draft.pk}
        audit.event(kind="build.upload", study=study, details=details)
    return draft


def publish(*, draft: BuildDraft, by: User) -> StudyBuild:
    """Make the draft a build that no site uses yet. Raises builds.VersionTaken, PermissionDenied."""
    study = draft.study
    authorise(by, Permission.BUILD_IMPORT, study=study)
    with audit.change(by=by):
        definition = draft.study_definition
        build = builds.publish(definition=definition, synthetic=study.synthetic, release=False, by=by)
        BuildDraft.objects.filter(pk=draft.pk).delete()
    return build


def discard(*, draft: BuildDraft, by: User) -> None:
    """Throw a draft away; that it was uploaded stays in the audit trail."""
    authorise(by, Permission.BUILD_IMPORT, study=draft.study)
    with audit.change(by=by):
        audit.event(kind="build.discard", study=draft.study, details={"draft": draft.pk, "version": draft.version})
        BuildDraft.objects.filter(pk=draft.pk).delete()


def weigh(*, draft: BuildDraft, by: User) -> None:
    """Ask what the draft would mean for the records there are; its page shows the answer."""
    authorise(by, Permission.BUILD_IMPORT, study=draft.study)
    with audit.change(by=by):
        draft.weighing = migrate.start_weighing(study=draft.study, draft=draft, by=by)
        draft.save(update_fields=["weighing"])


def _read(study: Study, file_name: str, content: bytes, version: str) -> Imported:
    if yaml_zip.is_zip(content) and not file_name.lower().endswith((".xlsx", ".xlsm")):
        definition = yaml_zip.read_zip(content, file=file_name)
        if definition.code != study.code:
            raise _of_another(study, definition.code, "study.yaml")
        return Imported(_with(definition, {"version": _version(version)} if version else {}, file_name), ())
    if file_name.lower().endswith((".yaml", ".yml")):
        raise refused(
            file_name, 1, "", "单个 YAML 文件不是完整的研究", "one YAML file is not a whole study",
            "压缩含 study.yaml、codelists.yaml 和 forms/ 的文件夹",
            "zip the folder with study.yaml, codelists.yaml and forms/",
        )  # fmt: skip
    read = formats.read_study(content, code=study.code, file=file_name)
    for loss in read.losses:
        if loss.element == OTHER_STUDY:
            raise _of_another(study, loss.what, file_name)
    return _as_ours(study, read, version, file_name)


def _of_another(study: Study, code: str, file: str) -> DefinitionErrors:
    return refused(
        file, 1, "code", f"这是研究 {code} 的定义,不是 {study.code}",
        f"this is the definition of study {code}, not of {study.code}",
        f"在 {code} 的页面上传,或改正 code", f"upload it to {code}, or correct `code`",
    )  # fmt: skip


def _as_ours(study: Study, read: Imported, version: str, file: str) -> Imported:
    """Another system's file as this study's: its forms and visits, our sites and registration."""
    if not version:
        raise refused(
            file, 1, "version", "此格式不含版本号", "a file of this format needs a version",
            "请填写新版本号", "give the new version",
        )  # fmt: skip
    kept: dict[str, object] = {"version": _version(version), "code": study.code}
    try:
        present = current_build(study).study_definition
    except NoBuild:
        present = None
    if present:
        kept |= {name: getattr(present, name) for name in OURS}
    what = ", ".join(sorted(kept.keys() - {"version"}))
    note = Loss("assumed", "study", study.code, what, "沿用本研究现有的设置", "as this study has them now")
    raw = read.definition.model_dump(mode="json", exclude_defaults=True)
    return settle(raw | to_jsonable_python(kept), (note, *read.losses), file=file)  # its logic may name its own sites


def _with(definition: StudyDefinition, values: dict[str, object], file: str) -> StudyDefinition:
    """The definition with other values, which must fit it."""
    if not values:
        return definition
    made = StudyDefinition.from_json(
        {**definition.model_dump(mode="json", exclude_defaults=True), **to_jsonable_python(values)}
    )
    if faults := verify(made):
        raise DefinitionErrors(
            [DefinitionError(file, 1, one.item, one.en, one.remedy_en, one.zh, one.remedy_zh) for one in faults]
        )
    return made


def _version(text: str) -> str:
    try:
        return _VERSION.validate_python(text.strip())
    except ValidationError as error:
        raise refused(
            "", 1, "version", f"“{text[:40]}”不是版本号", f"{text[:40]!r} is no version",
            "用字母、数字、点、下划线和连字符,最多 32 个字符",
            "use letters, digits, dots, underscores and hyphens, at most 32",
        ) from error  # fmt: skip
