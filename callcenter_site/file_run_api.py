"""Files that workers write, over the API: how far one is, and the link to it."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from callcenter_site import stored_audio
from callcenter_site.file_runs import FileRun
from callcenter_site.rest import AccountSerializer


class FileRunSerializer(AccountSerializer):
    link = serializers.SerializerMethodField(
        help_text=f"Opens the file for {stored_audio.LINK_SECONDS} seconds; null until it is done. Ask again for another. "
        "Only where one of them is shown."
    )
    problem = serializers.SerializerMethodField(help_text="Why it failed; empty: it did not.")
    gone_at = serializers.SerializerMethodField(help_text="When it is removed with its file.")

    problems: ClassVar[Mapping[str, Any]]
    """What the words in `problem` mean."""
    kept_for: ClassVar[dt.timedelta]

    def may_take(self, run: Any, asker: Any) -> bool:
        raise NotImplementedError

    def link_to(self, run: Any, asker: Any) -> str:
        raise NotImplementedError

    @extend_schema_field({"type": "string", "format": "uri", "nullable": True})
    def get_link(self, run: Any) -> str | None:
        view, request = self.context["view"], self.context["request"]
        if view.action != "retrieve" or run.state != FileRun.State.DONE or not self.may_take(run, request.user):
            return None
        return str(request.build_absolute_uri(self.link_to(run, request.user)))

    def get_problem(self, run: Any) -> str:
        return str(self.problems.get(run.problem, ""))

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_gone_at(self, run: Any) -> Any:
        return serializers.DateTimeField().to_representation(run.created_at + self.kept_for)
