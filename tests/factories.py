"""Rows in few words."""

import datetime as dt
import hashlib
import uuid
from typing import Any

import factory
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone
from factory.django import DjangoModelFactory

from agents.models import Agent, SkillGroup, SkillGroupMember
from calls.envelope import call_key_of
from calls.models import (
    AudioState,
    Call,
    CallLeg,
    CallState,
    EntryCause,
    EntryOutcome,
    IvrStep,
    LegKind,
    LegResult,
    Outcome,
    Party,
    QueueEntry,
    Recording,
    Voicemail,
)
from calls.records import note_seen_by
from configuration.access import create_built_in_roles
from configuration.models import Account, Role, ServiceNumber

PASSWORD = "correct horse battery"


class AccountFactory(DjangoModelFactory):
    class Meta:
        model = Account
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Account {n}")
    slug = factory.Sequence(lambda n: f"account-{n}")
    time_zone = "Asia/Shanghai"
    region = "CN"

    @factory.post_generation
    def roles(self: Account, create: bool, extracted: Any, **kwargs: Any) -> None:
        create_built_in_roles(self)


class AgentFactory(DjangoModelFactory):
    """`AgentFactory(account=…, kind=Role.Kind.SUPERVISOR)`; signs in with PASSWORD."""

    class Meta:
        model = Agent
        exclude = ["kind"]
        skip_postgeneration_save = True

    account = factory.SubFactory(AccountFactory)
    kind = Role.Kind.AGENT
    role = factory.LazyAttribute(lambda o: Role.objects.get(account=o.account, kind=o.kind))
    staff_id = factory.Sequence(lambda n: f"{1000 + n}")
    email = factory.Sequence(lambda n: f"agent{n}@example.com")
    name = factory.Sequence(lambda n: f"Agent {n}")

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Agent:
        agent = model_class(*args, **kwargs)
        agent.set_password(PASSWORD)
        agent.save()
        return agent


class SkillGroupFactory(DjangoModelFactory):
    class Meta:
        model = SkillGroup

    account = factory.SubFactory(AccountFactory)
    name = factory.Sequence(lambda n: f"Group {n}")


class MemberFactory(DjangoModelFactory):
    class Meta:
        model = SkillGroupMember

    skill_group = factory.SubFactory(SkillGroupFactory)
    agent = factory.LazyAttribute(lambda o: AgentFactory(account=o.skill_group.account))
    account = factory.LazyAttribute(lambda o: o.skill_group.account)


class ServiceNumberFactory(DjangoModelFactory):
    class Meta:
        model = ServiceNumber

    account = factory.SubFactory(AccountFactory)
    number = factory.Sequence(lambda n: f"+8610555{n:05d}")


class _SeenFactory(DjangoModelFactory):
    """Makes rows as the fold leaves them: with who sees the call."""

    class Meta:
        abstract = True

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Any:
        row = super()._create(model_class, *args, **kwargs)
        note_seen_by(account=row.account, call_ids=[row.pk if model_class is Call else row.call_id])
        return row


class CallFactory(_SeenFactory):
    """An answered inbound call of five minutes that ended now, unless said otherwise; `CallFactory(open=True)` still goes on."""

    class Meta:
        model = Call

    class Params:
        open = factory.Trait(ended_at=None, ended_on=None, outcome="", disconnect_party="", state=CallState.TALKING)

    account = factory.SubFactory(AccountFactory)
    call_id = factory.Sequence(lambda n: f"call-{n}")
    call_key = factory.LazyAttribute(lambda o: call_key_of(o.account.pk, o.call_id))
    calling_number = "+8613800138000"
    called_number = "+861055500001"
    state = CallState.ENDED
    outcome = Outcome.ANSWERED
    started_at = factory.LazyFunction(lambda: timezone.now() - dt.timedelta(minutes=5))
    answered_at = factory.LazyAttribute(lambda o: o.started_at if o.outcome == Outcome.ANSWERED else None)
    ended_at = factory.LazyAttribute(lambda o: o.started_at + dt.timedelta(minutes=5))
    ended_on = factory.LazyAttribute(lambda o: o.ended_at.astimezone(o.account.zone).date())
    disconnect_party = Party.CUSTOMER


class _CallPartFactory(_SeenFactory):
    class Meta:
        abstract = True

    call = factory.SubFactory(CallFactory)
    account = factory.SelfAttribute("call.account")
    seq = factory.LazyAttribute(lambda o: getattr(o.call, o.below).count() + 1)


class CallLegFactory(_CallPartFactory):
    """An agent's answered leg over the whole call, unless said otherwise."""

    class Meta:
        model = CallLeg
        exclude = ["below"]

    below = "legs"
    kind = LegKind.AGENT
    agent = factory.LazyAttribute(lambda o: AgentFactory(account=o.call.account) if o.kind == LegKind.AGENT else None)
    offered_at = factory.SelfAttribute("call.started_at")
    answered_at = factory.SelfAttribute("offered_at")
    ended_at = factory.SelfAttribute("call.ended_at")
    result = LegResult.ANSWERED


class QueueEntryFactory(_CallPartFactory):
    class Meta:
        model = QueueEntry
        exclude = ["below"]

    below = "queue_entries"
    skill_group = factory.LazyAttribute(lambda o: SkillGroupFactory(account=o.call.account))
    cause = EntryCause.DIRECT
    entered_at = factory.SelfAttribute("call.started_at")
    left_at = factory.LazyAttribute(lambda o: o.entered_at + dt.timedelta(seconds=20))
    wait_seconds = factory.LazyAttribute(lambda o: (o.left_at - o.entered_at).total_seconds() if o.left_at else 0)
    outcome = EntryOutcome.ANSWERED


class IvrStepFactory(_CallPartFactory):
    class Meta:
        model = IvrStep
        exclude = ["below"]

    below = "ivr_steps"
    step = "menu"
    prompt = "For sales press 1."
    prompt_kind = "tts"
    prompted_at = factory.SelfAttribute("call.started_at")
    input = "1"
    input_kind = "keys"
    input_at = factory.LazyAttribute(lambda o: o.prompted_at + dt.timedelta(seconds=5))


class RecordingFactory(DjangoModelFactory):
    """A stored recording; `content=b"…"` is written into the storage."""

    class Meta:
        model = Recording
        exclude = ["content"]

    content = b"RIFF" + bytes(range(256)) * 4
    call = factory.SubFactory(CallFactory)
    account = factory.SelfAttribute("call.account")
    event_key = factory.Sequence(lambda n: hashlib.sha256(b"recording%d" % n).digest())
    recorded_at = factory.SelfAttribute("call.started_at")
    duration_seconds = 12.0
    state = AudioState.STORED
    content_type = "audio/wav"
    key = factory.LazyAttribute(lambda o: default_storage.save(f"audio/{uuid.uuid4().hex}", ContentFile(o.content)))
    n_bytes = factory.LazyAttribute(lambda o: len(o.content))


class VoicemailFactory(RecordingFactory):
    class Meta:
        model = Voicemail
        exclude = ["content"]


def signed_in(person: Agent) -> Client:
    client = Client()
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client
