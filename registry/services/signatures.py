"""Electronic signatures: the person proves again who they are, and signs exactly one digest."""

from __future__ import annotations

from django.contrib.auth.hashers import check_password
from django.utils.translation import gettext as _

from registry import audit
from registry.models import Signature, Study, User
from registry.permissions import Permission, authorise


class WrongPassword(ValueError):
    """The password given at signing is not the signer's."""


def reauthenticate(*, password: str, study: Study, by: User) -> None:
    """Check the signer's password; a wrong one is itself an audited event. Raises WrongPassword."""
    authorise(by, Permission.STUDY_VIEW, study=study)
    if not check_password(password, by.password):
        with audit.change(by=by):
            audit.event(kind="signature.refused", study=study)
        raise WrongPassword(_("The password is not right; nothing was signed."))


def sign(*, study: Study, password: str, meaning: str, kind: str, object_id: str, digest: str, by: User) -> Signature:
    """Sign `digest` (of the object of `kind` and `object_id`) with a printed name, UTC time and meaning."""
    authorise(by, Permission.STUDY_VIEW, study=study)
    reauthenticate(password=password, study=study, by=by)
    with audit.change(by=by) as change:
        signature = Signature.objects.create(
            study=study,
            by=by,
            printed_name=by.full_name,
            role=change.role(study.pk),
            meaning=meaning,
            kind=kind,
            object_id=object_id,
            digest=digest,
        )
        details = {"kind": kind, "object": object_id, "digest": digest, "meaning": meaning}
        audit.event(kind="signature.sign", study=study, details=details)
    return signature
