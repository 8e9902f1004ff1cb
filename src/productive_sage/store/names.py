"""What the ids in the settings are called, as the services' lists said when they were last read."""

from collections.abc import Mapping

from productive_sage.settings import Settings
from productive_sage.store import Store

ACCOUNT, TAX_RATE, ITEM = "ledger account", "tax rate", "item"
SERVICE_TYPE = "service type"
"""In Productive; the others are in Sage."""


def keep(store: Store, kind: str, names: Mapping[str, str]) -> None:
    """Remember names by id; that of an item is `kind:id`, as in the settings."""
    store.facts.keep_names({f"{kind} {key}": name for key, name in names.items()})


def of(settings: Settings, store: Store) -> dict[str, str]:
    """The name by key of the settings (`items.11` for an item); what is not known is left out."""
    wanted = {
        "default_ledger_account": f"{ACCOUNT} {settings.default_ledger_account}",
        "default_tax_rate": f"{TAX_RATE} {settings.default_tax_rate}",
        **{f"items.{key}": f"{ITEM} {item}" for key, item in settings.items.items()},
        **{f"tax.map.{key}": f"{TAX_RATE} {rate}" for key, rate in settings.tax_map.items()},
    }
    types = {key: f"{SERVICE_TYPE} {key}" for key in settings.items}
    known = store.facts.names([*wanted.values(), *types.values()])
    found = {key: known[kept] for key, kept in wanted.items() if kept in known}
    for key, kept in types.items():
        if f"items.{key}" in found:
            found[f"items.{key}"] = f"{known.get(kept, key)} -> {found[f'items.{key}']}"
    return found
