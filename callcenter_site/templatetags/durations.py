"""`{{ seconds|clock }}`, `{{ seconds|spoken }}` and `{{ moment|milliseconds }}`."""

from django import template

from callcenter_site import durations

register = template.Library()
register.filter("clock", durations.clock)
register.filter("spoken", durations.spoken)
register.filter("milliseconds", durations.milliseconds)
