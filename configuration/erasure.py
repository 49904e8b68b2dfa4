"""How long configuration lives: until the account is terminated."""

from callcenter_site.erasure import Kept, Lifetime

KEPT = (
    Kept("configuration.Account", Lifetime.CONFIGURATION, account="id"),
    Kept("configuration.DataKey", Lifetime.CONFIGURATION),
    Kept("configuration.Role", Lifetime.CONFIGURATION),
    Kept("configuration.ServiceNumber", Lifetime.CONFIGURATION),
    Kept("configuration.IvrPrompt", Lifetime.CONFIGURATION, files=("audio_key", "loose_key")),
    Kept("configuration.BlockedNumber", Lifetime.CONFIGURATION, people=("number", "reason", "number_hash")),
    Kept("configuration.Keyword", Lifetime.CONFIGURATION),
    Kept("configuration.QuickReplyGroup", Lifetime.CONFIGURATION),
    Kept("configuration.QuickReply", Lifetime.CONFIGURATION),
    Kept("configuration.ScreenPop", Lifetime.CONFIGURATION),
    Kept("configuration.BreakReason", Lifetime.CONFIGURATION),
    Kept("configuration.Disposition", Lifetime.CONFIGURATION),
    Kept("configuration.ApiKey", Lifetime.CONFIGURATION),
    Kept("configuration.IdempotencyKey", Lifetime.UNTIL_USED, clock="created_at", people=("answer",)),
    Kept("configuration.AuditEntry", Lifetime.CONFIGURATION, people=("actor",)),
    Kept("configuration.ImportRun", Lifetime.CONFIGURATION, people=("started_by", "preview")),
    Kept("configuration.ImportChunk", Lifetime.CONFIGURATION, people=("rows", "errors")),
)
