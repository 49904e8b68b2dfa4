"""What retention keeps: promises bought and put on hold, what is to go, and the proof of what went."""

from retention.models.backups import BackupObject, BackupRun, RestoredId, RestoreRun
from retention.models.holds import AccountGate, HeldCall, LegalHold
from retention.models.ledger import LedgerAnchor, LedgerEntry, LedgerHead, SigningKey
from retention.models.outbox import FileDeletion
from retention.models.plans import PlanNotice, StoragePlan
from retention.models.requests import AccessRequest, DeletionRequest, ErasureStep
from retention.models.runs import PurgeRun

__all__ = [
    "AccessRequest",
    "AccountGate",
    "BackupObject",
    "BackupRun",
    "DeletionRequest",
    "ErasureStep",
    "FileDeletion",
    "HeldCall",
    "LedgerAnchor",
    "LedgerEntry",
    "LedgerHead",
    "LegalHold",
    "PlanNotice",
    "PurgeRun",
    "RestoreRun",
    "RestoredId",
    "SigningKey",
    "StoragePlan",
]
