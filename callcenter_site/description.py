"""The API's description at `/api/schema/`, for everybody.

It is worked out once in a process for each language and format: that takes seconds, and anybody may ask.
"""

import threading
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils.translation import get_language
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

_made: dict[tuple[str, str], bytes] = {}
_making = threading.Lock()


class Description(SpectacularAPIView):
    def _get_schema_response(self, request: Request) -> HttpResponse:
        renderer: Any = request.accepted_renderer
        language = get_language() or ""
        # Of what an address may name, only languages there are: each takes its room.
        wanted = (renderer.media_type, language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE)
        with _making:  # a hundred who ask at once after a start would each have it worked out
            if wanted not in _made:
                answer: Any = super()._get_schema_response(request)  # type: ignore[no-untyped-call]
                _made[wanted] = renderer.render(answer.data, renderer_context={"request": request, "view": self})
        kind = f"{renderer.media_type}; charset={renderer.charset}" if renderer.charset else renderer.media_type
        name = self._get_filename(request, None)  # type: ignore[no-untyped-call]
        headers = {"Content-Disposition": f'inline; filename="{name}"'}
        return HttpResponse(_made[wanted], content_type=kind, headers=headers)
