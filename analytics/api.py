"""Figures over the API."""

from callcenter_site.rest import PortalView


class LiveView(PortalView):
    required_permissions = {}


class SummaryView(PortalView):
    required_permissions = {}
