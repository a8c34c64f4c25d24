"""The study's calendar: coming and missed visits with their windows, and the feed for one's own calendar program."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from icalendar import Calendar, Event

from crf.definitions.model import NotInDefinition, StudyDefinition
from crf.models import CalendarFeed
from crf.selectors import definition_of, visit_timing
from crf.selectors.board import feed_visits, month_of, seen_visits, waiting_visits
from crf.services import feeds
from crf.views.entry_page import language
from crf.views.places import visit_name
from registry.models import Study, Visit
from registry.permissions import Permission, rights
from registry.web import render_page, study_or_404

MISSED_SHOWN = 20
NEW_FEED = "calendar-feed"  # session key of an address that is shown once


@require_safe
def calendar(request: HttpRequest, code: str) -> HttpResponse:
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    definition, today = definition_of(study), timezone.localdate()
    first, site = _month(request.GET.get("month", ""), today), request.GET.get("site", "")
    month = month_of(study, request.user, first, site=site)
    missed = waiting_visits(seen_visits(study, request.user, site), "overdue", today).order_by("-window_to")
    context = {
        "first": first,
        "before": _step(first, -1),
        "after": _step(first, 1),
        "today": today,
        "sites": study.sites.visible_to(request.user),
        "site": site,
        "planned": month.planned,
        "weeks": [[_day(definition, study, month, day, first, today) for day in week] for week in month.weeks],
        "missed": [_shown(definition, study, visit, today) for visit in missed[:MISSED_SHOWN]],
        "missed_count": missed.count(),
        "feed": CalendarFeed.objects.filter(user=request.user, study=study).first(),
        "new_feed": request.session.pop(NEW_FEED, None),
    }
    response = render_page(request, "crf/calendar.html", context)
    response["Cache-Control"] = "private, no-store"
    return response


@require_POST
def change_feed(request: HttpRequest, code: str) -> HttpResponse:
    """Make a new secret address (the old one ends), or revoke it."""
    study = study_or_404(request, code, needs=Permission.RECORD_VIEW)
    if request.POST.get("act") == "revoke":
        feeds.revoke(study=study, by=request.user)
    else:
        token = feeds.make(study=study, language=language(), by=request.user)
        request.session[NEW_FEED] = request.build_absolute_uri(reverse("crf:feed", args=[token]))
    return redirect(f"{reverse('crf:calendar', args=[study.code])}#feed")


@login_not_required
@require_safe
def feed(request: HttpRequest, token: str) -> HttpResponse:
    """The person's visits as iCalendar (RFC 5545): numbers, visit names and windows, nothing else."""
    found = get_object_or_404(CalendarFeed.objects.select_related("user", "study"), token_hash=feeds.token_hash(token))
    if Permission.RECORD_VIEW not in rights(found.user, study=found.study):
        raise Http404("the person no longer sees this study")
    with translation.override(found.language):
        content = _icalendar(found.study, feed_visits(found.study, found.user, timezone.localdate()))
    response = HttpResponse(content, content_type="text/calendar; charset=utf-8")
    response["Cache-Control"] = "private, max-age=900"
    response["X-Robots-Tag"] = "noindex"
    response["Referrer-Policy"] = "no-referrer"
    return response


def _icalendar(study: Study, visits: list[Visit]) -> bytes:
    definition, made = definition_of(study), timezone.now()
    shown = Calendar()
    shown.add("prodid", "-//Lobule//visits//EN")
    shown.add("version", "2.0")
    shown.add("x-wr-calname", study.short_name)
    for visit in visits:
        event = Event()
        event.add("uid", f"visit-{visit.pk}@{study.code.lower()}.lobule")
        event.add("dtstamp", made)
        event.add("dtstart", visit.target_on)
        event.add("dtend", visit.target_on + dt.timedelta(days=1))
        event.add("summary", f"{visit.subject.number} {_name(definition, visit)}")
        if visit.window_from and visit.window_to:
            window = {"from": visit.window_from.isoformat(), "to": visit.window_to.isoformat()}
            event.add("description", _("Window: %(from)s to %(to)s") % window)
        event.add("transp", "TRANSPARENT")
        shown.add_component(event)
    return bytes(shown.to_ical())


def _month(text: str, today: dt.date) -> dt.date:
    try:
        first = dt.date.fromisoformat(f"{text}-01")
    except ValueError:
        return today.replace(day=1)
    return first if 1900 <= first.year <= 2200 else today.replace(day=1)


def _step(first: dt.date, months: int) -> dt.date:
    """The first day of the month before or after."""
    return (first + dt.timedelta(days=31 if months > 0 else -1)).replace(day=1)


def _day(definition: StudyDefinition, study: Study, month: Any, day: Any, first: dt.date, today: dt.date) -> Any:
    return {
        "day": day.day,
        "is_today": day.day == today,
        "is_outside": day.day.month != first.month,
        "more": day.more,
        "visits": [_shown(definition, study, visit, today, visit.pk in month.begun) for visit in day.visits],
    }


def _shown(definition: StudyDefinition, study: Study, visit: Visit, today: dt.date, begun: bool = False) -> Any:
    state = "begun" if begun else {"missed": "overdue"}.get(visit_timing(visit, today), visit_timing(visit, today))
    anchor = f"#visit-{visit.event}-{visit.repeat}"
    return {
        "visit": visit,
        "subject": visit.subject.number,
        "name": _name(definition, visit),
        "state": state,
        "days": (today - visit.window_to).days if visit.window_to else None,
        "url": reverse("crf:subject", args=[study.code, visit.subject.number]) + anchor,
    }


def _name(definition: StudyDefinition, visit: Visit) -> str:
    try:
        return visit_name(definition, visit)
    except NotInDefinition:
        return visit.event
