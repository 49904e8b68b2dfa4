"""What a role or a key allows, as groups of boxes to tick."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.template.loader import render_to_string
from django.utils.safestring import SafeString


class TickBoxes(forms.CheckboxSelectMultiple):
    """Groups of boxes with a title each; those the asker may not give are shown and cannot be ticked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.withheld: frozenset[str] = frozenset()
        self.why_withheld: Any = ""
        self.about: Mapping[str, Any] = {}
        """A sentence on each box."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        chosen = set(value or ())
        groups = [
            (title, [(key, label, self.about.get(key, ""), key in chosen, key in self.withheld) for key, label in options])
            for title, options in self.choices
        ]
        context = {"name": name, "groups": groups, "why_withheld": self.why_withheld}
        return render_to_string("configuration/tick_boxes.html", context)
