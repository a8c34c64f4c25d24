"""Electronic signatures: the person proves again who they are, and signs exactly one digest."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import audit
from registry.models import AuditEvent, Signature, Study, User
from registry.permissions import Permission, authorise

REFUSED = "signature.refused"


class WrongPassword(ValueError):
    """The password given at signing is not the signer's."""


def reauthenticate(*, password: str, study: Study, by: User) -> None:
    """Check the signer's password; a wrong one is itself an audited event. Raises WrongPassword.

    After as many as lock a sign-in, the right one does not help for a while either (21 CFR 11.300(d)).
    """
    authorise(by, Permission.STUDY_VIEW, study=study)
    since = timezone.now() - dt.timedelta(hours=settings.AXES_COOLOFF_TIME)
    if AuditEvent.objects.filter(kind=REFUSED, by=by, at__gte=since).count() >= settings.AXES_FAILURE_LIMIT:
        raise WrongPassword(_("Too many wrong passwords; signing is locked for 15 minutes."))
    if not check_password(password, by.password):
        with audit.change(by=by):
            audit.event(kind=REFUSED, study=study)
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
