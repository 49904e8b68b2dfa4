"""What figures hold on somebody: nothing, but where a person's number was taken for one of the center's own."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from analytics import erased_counts
from analytics.models import CallDay, CallInterval, ErasedCount, QueueDay, QueueInterval
from analytics.rollup import count_under_no_number, plus
from callcenter_site.subjects import PEOPLE, Erased, Page, Store, Subject, Work, first_ids, scan
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
        counts = erased_counts.without(row.counts, subject.numbers, plus=plus)
        n_rows += ErasedCount.objects.filter(pk=row.pk).update(counts=counts)
    return Erased(n_rows)


STORES: tuple[Store, ...] = (
    _by_number("call_counts", _("figures of calls by number"), CallInterval),
    _by_number("call_days", _("figures of days by number"), CallDay),
    _by_number("queue_counts", _("figures of queues by number"), QueueInterval),
    _by_number("queue_days", _("figures of queues and days by number"), QueueDay),
    Store("erased_counts", _("figures of erased calls"), PEOPLE, ("analytics.ErasedCount",), _find_erased, _erase_erased),
)
