"""How long configuration lives: until the account is terminated."""

from callcenter_site.erasure import Kept, Lifetime

KEPT = (
    Kept("configuration.Account", Lifetime.CONFIGURATION, account="id"),
    Kept("configuration.Role", Lifetime.CONFIGURATION),
    Kept("configuration.ServiceNumber", Lifetime.CONFIGURATION),
    Kept("configuration.ApiKey", Lifetime.CONFIGURATION),
)
