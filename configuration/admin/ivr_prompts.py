"""The pages of IVR prompts: text, engine text or a sound file with a player."""

import io
import logging
import unicodedata
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from callcenter_site import legal_holds, stored_audio
from callcenter_site.admin import AccountForm
from configuration.admin.imports import SheetAdmin
from configuration.admin.lists import ListAdmin, Suggesting, fragment, posted
from configuration.models import IvrPrompt
from configuration.prompts import check_audio, drop_audio, store_audio
from configuration.sheets import IvrPromptSheet
from configuration.views import prompt_link

log = logging.getLogger(__name__)

LANGUAGES = ["en", "en-US", "en-GB", "zh-CN", "zh-TW", "zh-HK", "ja-JP", "ko-KR", "es-ES", "fr-FR", "de-DE", "pt-BR", "ar"]
READ_PER_MINUTE = {True: 250, False: 900}
"""Characters a voice reads in a minute: of scripts like Chinese, and of alphabets."""


class IvrPromptForm(AccountForm):
    text = forms.CharField(
        label=_("Text"),
        max_length=2000,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5, "data-only-for": "kind tts engine", "dir": "auto"}),
    )
    audio = forms.FileField(
        label=_("Sound file"),
        required=False,
        widget=UnfoldAdminFileFieldWidget(
            attrs={"data-only-for": "kind audio", "accept": ".wav,.mp3,.ogg,audio/wav,audio/mpeg,audio/ogg"}
        ),
        help_text=_("WAV, MP3, OGG or M4A, at most 5 MB. A new file takes the place of the old one."),
    )

    class Meta:
        model = IvrPrompt
        fields = ["code", "kind", "text", "language", "is_active"]
        widgets = {"language": Suggesting}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "language" in self.fields:
            self.fields["language"].widget.suggestions = LANGUAGES

    def clean_audio(self) -> Any:
        audio = self.cleaned_data["audio"]
        if audio:
            check_audio(audio)
        return audio

    def _post_clean(self) -> None:
        kind, audio = self.cleaned_data.get("kind"), self.cleaned_data.get("audio")
        needs_file = kind == IvrPrompt.Kind.AUDIO and not self.instance.audio_key
        self.instance.audio_comes = bool(audio) or needs_file  # said on the field of the file, below
        super()._post_clean()
        if needs_file and not audio and "audio" not in self.errors:
            self.add_error("audio", _("Choose the file callers hear."))


@admin.register(IvrPrompt)
class IvrPromptAdmin(SheetAdmin, ListAdmin):
    sheet = IvrPromptSheet
    form = IvrPromptForm
    list_display = ["code", "show_kind", "show_content", "language", "is_active"]
    list_filter = [("kind", ChoicesDropdownFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["code", "text"]
    search_help_text = _("Code or text")
    change_form_after_template = "admin/configuration/ivrprompt/preview.html"
    empty_icon = "record_voice_over"
    empty_title = _("No IVR prompts yet")
    empty_text = _(
        "What callers hear in the menus. Events and call flows name a prompt by its code; records then show what was played."
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["code", "kind", "text", "audio", "language", "is_active"]
        if obj is not None and (obj.audio_key or obj.kind == IvrPrompt.Kind.AUDIO):
            fields.insert(4, "show_player")
        if obj is not None and not self.has_change_permission(request, obj):
            fields.remove("audio")
        return [(None, {"fields": fields})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["show_player"]

    def get_urls(self) -> list[URLPattern]:
        return [
            self.extra_path("preview/", "preview", self.preview),
            self.extra_path("<path:object_id>/listen/", "listen", self.listen),
            *super().get_urls(),
        ]

    @property
    def preview_address(self) -> str:
        return self.address_of("preview")

    def preview(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        data = posted(request)
        text = data.get("text", "").strip()[:2000]
        context = {"text": text, "kind": data.get("kind", ""), "n_characters": len(text), "is_rtl": _is_rtl(text)}
        context["seconds"] = _seconds_to_read(text) if context["kind"] == IvrPrompt.Kind.TTS else 0
        return fragment(request, render_to_string("admin/configuration/ivrprompt/previewed.html", context, request))

    def listen(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Where the player points: checks, and sends the browser to a link that opens the file for a minute."""
        prompt: IvrPrompt = self.row_or_404(request, object_id)
        if not prompt.audio_bytes:
            raise Http404
        person: Any = request.user
        response = HttpResponseRedirect(prompt_link(prompt, listener=person.pk))
        response["Cache-Control"] = "private, no-store"
        return response

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audio = form.cleaned_data.get("audio")
        if obj.kind != IvrPrompt.Kind.AUDIO:
            transaction.on_commit(partial(drop_audio, obj))
        elif audio:
            transaction.on_commit(partial(self._store, request, obj, io.BytesIO(audio.read())))

    def _store(self, request: HttpRequest, prompt: IvrPrompt, audio: Any) -> None:
        try:
            store_audio(prompt=prompt, content=audio, at=timezone.now())
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        except Exception as error:  # whatever a store raises: the prompt is saved, and its page says what it lacks
            log.warning("could not store the file of prompt %s: %s", prompt.pk, type(error).__name__)
            messages.error(request, _("The file could not be stored. Callers hear what they heard before: upload it again."))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        legal_holds.refuse(obj)
        drop_audio(obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for prompt in queryset:
            self.delete_model(request, prompt)

    @display(description=_("kind"), ordering="kind", label={"tts": "info", "engine": "default", "audio": "success"})
    def show_kind(self, obj: IvrPrompt) -> tuple[str, str]:
        return obj.kind, obj.get_kind_display()

    @display(description=_("callers hear"))
    def show_content(self, obj: IvrPrompt) -> str:
        if obj.kind != IvrPrompt.Kind.AUDIO:
            return Truncator(obj.text).chars(90)
        if not obj.audio_bytes:
            return str(_("no file yet"))
        return f"{stored_audio.ENDINGS.get(obj.audio_type, '').upper()}, {filesizeformat(obj.audio_bytes)}"

    @display(description=_("listen"))
    def show_player(self, obj: IvrPrompt) -> SafeString:
        context = {"prompt": obj, "address": self.address_of("listen", obj.pk), "facts": self.show_content(obj)}
        return render_to_string("admin/configuration/ivrprompt/player.html", context)


def _is_rtl(text: str) -> bool:
    """By its first letter that has a direction, as browsers do."""
    return next((kind != "L" for kind in map(unicodedata.bidirectional, text) if kind in ("L", "R", "AL")), False)


def _seconds_to_read(text: str) -> int:
    n_wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return round(60 * (n_wide / READ_PER_MINUTE[True] + (len(text) - n_wide) / READ_PER_MINUTE[False]))
