"""What the shell of the admin says above every page."""

from typing import Any

from django import template

from retention import banners

register = template.Library()


@register.inclusion_tag("retention/banners.html", takes_context=True)
def retention_banners(context: Any) -> dict[str, Any]:
    request = context.get("request")
    # The privacy page says these among others.
    is_quiet = request is None or context.get("tells_warnings") or context.get("is_popup")
    return {"banners": [] if is_quiet else banners.banners(request)}
