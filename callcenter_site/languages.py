"""Which language an answer is in. Pages follow the person's choice, else their account; the API always speaks English."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation


class EnglishApi:
    """Programs read the API: its words must not change with the browser or the account of whoever asks."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/api/"):
            return self.get_response(request)
        with translation.override("en"):
            response = self.get_response(request)
        response.headers["Content-Language"] = "en"
        return response
