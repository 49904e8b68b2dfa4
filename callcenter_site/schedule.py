"""The timetable: what runs by itself, and when. Times are UTC."""

from celery.schedules import crontab, schedule

TIMETABLE = {
    # Events that arrived are folded at once; this finds those whose nudge was lost, and those to be tried again.
    "fold_events": ("calls.tasks.fold_events", schedule(2.0)),
    # Slots touched by changed calls are counted again.
    "fill_intervals": ("analytics.tasks.fill_intervals", schedule(5.0)),
    # Calls that went silent are closed as lost contact.
    "close_silent_calls": ("calls.tasks.close_silent_calls", schedule(300.0)),
    # Names of agents and groups that events used before the portal knew them are matched.
    "match_references": ("calls.tasks.match_references", schedule(300.0)),
    # The last eight days are counted again, and differences reported.
    "recount_intervals": ("analytics.tasks.recount_intervals", crontab(hour="2", minute="10")),
    # What has had its time is deleted, each account by its own calendar.
    "purge_expired": ("retention.tasks.purge_expired", crontab(hour="*", minute="20")),
}
