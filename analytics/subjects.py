"""What figures hold on somebody: nothing, but where a person's number was taken for one of the center's own, where
alerts go by mail, and what people keep for themselves."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from agents.subjects import saved_store
from analytics import erased_counts
from analytics.models import (
    AlertRule,
    CallDay,
    CallInterval,
    ErasedCount,
    QueueDay,
    QueueInterval,
    ReportMail,
    ReportReader,
    ReportRun,
    SavedReport,
    SavedView,
)
from analytics.rollup import count_under_no_number
from callcenter_site.erasure import delete_rows
from callcenter_site.subjects import PEOPLE, Erased, Page, Store, Subject, SubjectKind, Work, first_ids, scan
from configuration.models import Account


def _by_number(name: str, title: Any, model: Any) -> Store:
    def rows(subject: Subject) -> Any:
        return model.objects.for_account(subject.account_id).filter(service_number__in=sorted(subject.numbers))

    def find(subject: Subject, after: Any, limit: int) -> Page:
        return first_ids(rows(subject), after, limit) if subject.numbers else Page([], None)

    def erase(subject: Subject, ids: list[Any], work: Work) -> Erased:
        account = Account.objects.get(pk=subject.account_id)
        return Erased(
            count_under_no_number(model, account=account, ids=rows(subject).filter(pk__in=ids).values_list("pk", flat=True))
        )

    return Store(name, title, PEOPLE, (model._meta.label,), find, erase)


def _find_erased(subject: Subject, after: Any, limit: int) -> Page:
    rows = ErasedCount.objects.for_account(subject.account_id)
    return scan(rows, ("counts",), lambda counts: erased_counts.names(counts, subject.numbers), after)


def _erase_erased(subject: Subject, ids: list[Any], work: Work) -> Erased:
    n_rows = 0
    for row in ErasedCount.objects.for_account(subject.account_id).filter(pk__in=ids).select_for_update():
        counts = erased_counts.without(row.counts, subject.numbers)
        n_rows += ErasedCount.objects.filter(pk=row.pk).update(counts=counts)
    return Erased(n_rows)


def _is_mailed(subject: Subject, address: str) -> bool:
    names = {name.casefold() for name in subject.names}
    return address.casefold() in names or subject.is_named(address)


def _find_mailed(subject: Subject, after: Any, limit: int) -> Page:
    rows = AlertRule.objects.for_account(subject.account_id).only("account_id", "mail_to").order_by("pk")
    return Page([rule.pk for rule in rows if any(_is_mailed(subject, one) for one in rule.addresses)], None)


def _erase_mailed(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """A rule that tells nobody any more is no longer in use."""
    n_rows = 0
    for rule in AlertRule.objects.for_account(subject.account_id).filter(pk__in=ids).select_for_update():
        rule.mail_to = ", ".join(one for one in rule.addresses if not _is_mailed(subject, one))
        rule.is_active = rule.is_active and bool(rule.mail_to or rule.webhook_url)
        rule.save(update_fields=["mail_to", "is_active"])
        n_rows += 1
    return Erased(n_rows)


def _show_mailed(subject: Subject, ids: list[Any]) -> Any:
    for rule in AlertRule.objects.for_account(subject.account_id).filter(pk__in=ids).order_by("pk"):
        yield {"alert": rule.name, "mail_to": [one for one in rule.addresses if _is_mailed(subject, one)]}


# --- Reports ---------------------------------------------------------------------------------------------------------


def _find_runs(subject: Subject, after: Any, limit: int) -> Page:
    """All of them: who is named in a file is not known without reading it, and they are gone after a week anyway."""
    rows = ReportRun.objects.for_account(subject.account_id)
    if subject.up_to is not None:
        rows = rows.filter(created_at__lte=subject.up_to)
    return first_ids(rows, after, limit)


def _erase_runs(subject: Subject, ids: list[Any], work: Work) -> Erased:
    rows = ReportRun.objects.for_account(subject.account_id).filter(pk__in=ids)
    rows.select_for_update().order_by("pk").values_list("pk").first()
    work.put_files(set(rows.exclude(key="").values_list("key", flat=True)))
    delete_rows(ReportMail.objects.for_account(subject.account_id).filter(run_id__in=ids))
    return Erased(delete_rows(rows))


def _find_readers(subject: Subject, after: Any, limit: int) -> Page:
    rows = ReportReader.objects.for_account(subject.account_id)
    if subject.kind != SubjectKind.ACCOUNT:
        rows = rows.filter(person_id=subject.agent_id or 0)
    return first_ids(rows, after, limit)


def _erase_readers(subject: Subject, ids: list[Any], work: Work) -> Erased:
    return Erased(delete_rows(ReportReader.objects.for_account(subject.account_id).filter(pk__in=ids)))


def _release_reports(account_id: int, ids: list[Any]) -> None:
    """What points to reports that go: their readers go with them, their files stay for their week."""
    delete_rows(ReportReader.objects.for_account(account_id).filter(report_id__in=ids))
    ReportRun.objects.for_account(account_id).filter(report_id__in=ids).update(report=None)


STORES: tuple[Store, ...] = (
    _by_number("call_counts", _("figures of calls by number"), CallInterval),
    _by_number("call_days", _("figures of days by number"), CallDay),
    _by_number("queue_counts", _("figures of queues by number"), QueueInterval),
    _by_number("queue_days", _("figures of queues and days by number"), QueueDay),
    Store("alert_mails", _("recipients of alerts"), PEOPLE, ("analytics.AlertRule",), _find_mailed, _erase_mailed, _show_mailed),
    Store(
        "report_runs",
        _("files of reports"),
        PEOPLE | {SubjectKind.ACCOUNT},
        ("analytics.ReportRun", "analytics.ReportMail"),
        _find_runs,
        _erase_runs,
    ),
    Store(
        "report_readers",
        _("readers of reports"),
        frozenset({SubjectKind.AGENT, SubjectKind.ACCOUNT}),
        ("analytics.ReportReader",),
        _find_readers,
        _erase_readers,
    ),
    saved_store("saved_reports", _("saved reports"), SavedReport, before=_release_reports),
    saved_store("saved_views", _("saved views"), SavedView),
    Store("erased_counts", _("figures of erased calls"), PEOPLE, ("analytics.ErasedCount",), _find_erased, _erase_erased),
)
