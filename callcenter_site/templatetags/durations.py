"""`{{ seconds|clock }}` and `{{ seconds|spoken }}`."""

from django import template

from callcenter_site import durations

register = template.Library()
register.filter("clock", durations.clock)
register.filter("spoken", durations.spoken)
