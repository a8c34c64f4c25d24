"""What people may write in words: a comment, a reason, a query."""

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from crf.definitions.values import BadValue, refuse_unprintable


def why_not(text: str, *, most: int) -> str:
    """Why the text can't be kept, in the reader's language; empty where it can. `most` is in characters."""
    if len(text) > most:
        return _("At most %(limit)s characters.") % {"limit": most}
    try:
        refuse_unprintable(text)
    except BadValue as bad:
        return bad.of(get_language() or "zh-hans")
    return ""
