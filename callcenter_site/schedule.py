"""The timetable: what runs by itself, and when. Times are UTC."""

from celery.schedules import crontab, schedule
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

TIMETABLE = {
    # Events that arrived are folded at once; this finds those whose nudge was lost, and those to be tried again.
    "fold_events": ("calls.tasks.fold_events", schedule(2.0)),
    # Wrap-ups whose time is over end.
    "end_wrap_ups": ("agents.tasks.end_wrap_ups", schedule(2.0)),
    # Agents whose desk went silent are gone.
    "mark_gone": ("agents.tasks.mark_gone", schedule(10.0)),
    # Invitations and links to set a password go out at once; this sends those that were lost, and those to be tried again.
    "send_sign_in_links": ("agents.tasks.send_sign_in_links", schedule(60.0)),
    # Slots touched by changed calls are counted again.
    "fill_intervals": ("analytics.tasks.fill_intervals", schedule(5.0)),
    # Live figures are held against the limits of alerts.
    "check_alerts": ("analytics.tasks.check_alerts", schedule(5.0)),
    # What alerts have to say goes out, by mail and webhook.
    "send_alerts": ("analytics.tasks.send_alerts", schedule(5.0)),
    # Reports whose time has come are put in line, those of a dead worker taken up, and people told.
    "run_reports": ("analytics.tasks.run_reports", schedule(30.0)),
    # Reports older than a week are removed, each file before its row.
    "forget_reports": ("analytics.tasks.forget_reports", crontab(minute="50")),
    # Sound files in the spool go to the store, and into the records of calls that are known now.
    "store_sounds": ("calls.tasks.store_sounds", schedule(5.0)),
    # Sound files that platforms announced by address are fetched; some addresses live for hours only.
    "fetch_sounds": ("calls.tasks.fetch_sounds", schedule(10.0)),
    # Sound files that a telephone system put into the watched folder are taken in.
    "watch_recordings": ("calls.tasks.watch_recordings", schedule(10.0)),
    # Calls that went silent are closed as lost contact.
    "close_silent_calls": ("calls.tasks.close_silent_calls", schedule(300.0)),
    # Names of agents and groups that events used before the portal knew them are matched.
    "match_references": ("calls.tasks.match_references", schedule(300.0)),
    # The last eight days are counted again, and differences reported.
    "recount_intervals": ("analytics.tasks.recount_intervals", crontab(hour="2", minute="10")),
    # Imports whose nudge was lost or whose worker died are taken up.
    "continue_imports": ("configuration.tasks.continue_imports", schedule(30.0)),
    # Rows of files nobody decided about within a day are removed.
    "forget_import_rows": ("configuration.tasks.forget_import_rows", crontab(hour="*", minute="40")),
    # Files of prompts that were cut off while they were stored, or replaced and not deleted, go.
    "sweep_prompt_files": ("configuration.tasks.sweep_prompt_files", crontab(minute="50")),
    # Calls of the last month are matched with keywords that changed.
    "match_keywords": ("calls.tasks.match_keywords", schedule(60.0)),
    # Exports whose nudge was lost or whose worker died are taken up.
    "continue_exports": ("calls.tasks.continue_exports", schedule(30.0)),
    # Exports older than a day are removed, each file before its row.
    "forget_exports": ("calls.tasks.forget_exports", crontab(minute="50")),
    # Answers to requests that named themselves are forgotten after a day.
    "forget_answers": ("configuration.tasks.forget_answers", crontab(minute="40")),
    # Deletion and access requests go on: those whose nudge was lost, that wait for something, or whose worker died.
    "work_on_requests": ("retention.tasks.work_on_requests", schedule(30.0)),
    # People are warned of deletion requests that come due.
    "mind_deadlines": ("retention.tasks.mind_deadlines", crontab(minute="5")),
    # What has had its time is deleted, each account by its own calendar.
    "purge_expired": ("retention.tasks.purge_expired", crontab(hour="*", minute="20")),
    # Files whose rows have gone are deleted from the store.
    "delete_files": ("retention.tasks.delete_files", schedule(60.0)),
    # Administrators are told that a storage plan has lapsed.
    "tell_of_plan_ends": ("retention.tasks.tell_of_plan_ends", crontab(minute="25")),
    # What was appended to the ledger goes, signed, into object storage.
    "anchor_ledger": ("retention.tasks.anchor_ledger", crontab(minute="35")),
    # The whole ledger is checked against its anchors.
    "verify_ledger": ("retention.tasks.verify_ledger", crontab(hour="3", minute="5")),
    # Yesterday is backed up, each account's once its own midnight is over, and days that were changed are again.
    "back_up": ("retention.tasks.back_up", crontab(hour="*", minute="50")),
}

TITLES: dict[str, Promise] = {
    "fold_events": _("Fold events"),
    "end_wrap_ups": _("End wrap-ups"),
    "mark_gone": _("Notice who is gone"),
    "send_sign_in_links": _("Send invitations and password links"),
    "fill_intervals": _("Fill intervals"),
    "check_alerts": _("Check alerts"),
    "send_alerts": _("Send alerts"),
    "run_reports": _("Run reports"),
    "forget_reports": _("Remove old reports"),
    "store_sounds": _("Store sound files"),
    "fetch_sounds": _("Fetch sound files"),
    "watch_recordings": _("Watch the recordings folder"),
    "close_silent_calls": _("Close silent calls"),
    "match_references": _("Match names in events"),
    "recount_intervals": _("Count the last days again"),
    "continue_imports": _("Continue imports"),
    "forget_import_rows": _("Remove rows of old imports"),
    "sweep_prompt_files": _("Take away loose files of prompts"),
    "match_keywords": _("Look for changed keywords"),
    "continue_exports": _("Continue exports"),
    "forget_exports": _("Remove old exports"),
    "forget_answers": _("Forget repeated answers"),
    "work_on_requests": _("Work on deletion requests"),
    "mind_deadlines": _("Mind deadlines of deletion requests"),
    "purge_expired": _("Purge what has expired"),
    "delete_files": _("Delete files"),
    "tell_of_plan_ends": _("Tell of lapsed storage plans"),
    "anchor_ledger": _("Anchor the ledger"),
    "verify_ledger": _("Check the ledger"),
    "back_up": _("Make backups"),
}
"""What the jobs are called on the timetable's page."""
