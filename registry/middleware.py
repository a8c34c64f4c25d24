"""Names the door of every request, for the audit trail."""

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from registry import audit


class AttributeRequest:
    """Everything written while a request is served carries its source (`web` or `api`) and one request id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\0" in request.path:
            raise BadRequest("no address holds a NUL, nor can the database look for one")
        with audit.request(source="api" if request.path.startswith("/api/") else "web"):
            return self.get_response(request)
