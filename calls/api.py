"""Events in, service records out."""

from callcenter_site.rest import AccountReadViewSet, PortalView
from calls.models import Call


class EventsView(PortalView):
    required_permissions = {}


class CallViewSet(AccountReadViewSet):
    queryset = Call.objects.all()
