"""What Productive knows: attributes, relations, filters, sorts and writable fields by type.

Filters and sorts are those that are imitated; the others of Productive's are refused as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Resource:
    """One JSON:API type. Money is held in major units and shown in minor ones."""

    plain: tuple[str, ...] = ()
    money: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    to_one: dict[str, str] = field(default_factory=dict)
    filters: frozenset[str] = frozenset()
    sorts: frozenset[str] = frozenset()
    twins: bool = True

    @cached_property
    def attributes(self) -> frozenset[str]:
        """Every attribute of a reply, the converted twins included."""
        suffixes = ("", *TWINS) if self.twins else ("",)
        twins = {f"{name}{suffix}" for name in self.money for suffix in suffixes}
        return frozenset({*self.plain, *self.numbers, *twins, *self._currency_twins()})

    def _currency_twins(self) -> set[str]:
        if "currency" not in self.plain:
            return set()
        return {f"currency{twin}" for twin in TWINS}


TWINS = ("_default", "_normalized")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _to_one(text: str) -> dict[str, str]:
    """Read `relation` or `relation:type`; the type is the relation's plural by default."""
    relations = {}
    for word in text.split():
        name, _, kind = word.partition(":")
        relations[name] = kind or f"{name}s"
    return relations


RESOURCES: dict[str, Resource] = {
    "invoices": Resource(
        plain=_words(
            "number subject note note_interpolated footer footer_interpolated invoiced_on pay_on"
            " delivery_on sent_on paid_on finalized_on finalized_at exchange_date created_at"
            " updated_at deleted_at last_activity_at currency line_item_tax tax1_name tax2_name"
            " invoice_type_id credited payment_terms payment_terms_days payment_terms_type"
            " pay_on_relative purchase_order_number tag_list custom_fields email_key"
            " bank_account_details creation_options sample_data company_reference_id"
            " invoice_template_id exported exported_at export_id export_invoice_url"
            " export_integration_type_id"
        ),
        money=_words(
            "amount amount_tax amount_with_tax amount_paid amount_unpaid amount_written_off"
            " amount_credited amount_credited_with_tax"
        ),
        numbers=_words("discount exchange_rate tax1_value tax2_value"),
        to_one=_to_one(
            "company:companies bill_to:contact_entries bill_from:contact_entries"
            " subsidiary:subsidiaries document_type parent_invoice:invoices attachment"
            " bank_account issuer:people creator:people organization"
        ),
        filters=_set(
            "id number invoice_type invoice_state invoice_status payment_status sent_status"
            " export_status invoiced_on pay_on delivery_on sent_on paid_on created_at"
            " last_activity_at amount amount_tax amount_with_tax amount_paid amount_unpaid"
            " amount_written_off amount_credited amount_credited_with_tax currency credited"
            " company_id subsidiary_id parent_invoice_id purchase_order_number custom_fields"
        ),
        sorts=_set(
            "amount amount_credited amount_credited_with_tax amount_paid amount_tax"
            " amount_with_tax amount_written_off created_at credited delivery_on discount"
            " invoiced_on last_activity_at number pay_on purchase_order_number sent_on subject"
        ),
    ),
    "line_items": Resource(
        plain=_words("description unit_id position tax_name currency"),
        money=_words("unit_price amount amount_tax amount_with_tax"),
        numbers=_words("quantity discount tax_value"),
        to_one=_to_one("invoice service service_type expense tax_rate kpd_code organization"),
        filters=_set(
            "id invoice_id service_id service_type_id unit_id discount tax_name tax_value"
        ),
    ),
    "payments": Resource(
        plain=_words("currency paid_on written_off_on note external_id"),
        money=_words("amount"),
        to_one=_to_one("invoice organization"),
        filters=_set(
            "id invoice_id external_id paid_on paid_after paid_before written_off_on amount number"
        ),
        sorts=_set("amount note paid_on written_off_on"),
    ),
    "attachments": Resource(
        plain=_words(
            "name content_type size url thumb temp_url resized attachment_type attachable_type"
            " message_id external_id aws_policy created_at deleted_at"
        ),
        to_one=_to_one(
            "invoice creator:people organization bill comment deal document_style document_type"
            " email expense page purchase_order task"
        ),
        filters=_set("id creator_id"),
        sorts=_set("id"),
    ),
    "companies": Resource(
        plain=_words(
            "name billing_name vat company_code default_currency domain domains contact"
            " invoice_email_recipients due_days payment_terms_type external_id external_sync"
            " settings custom_fields tag_list parent_company_id default_subsidiary_id"
            " default_tax_rate_id default_document_type_id created_at archived_at"
            " last_activity_at sample_data"
        ),
        to_one=_to_one(
            "organization parent_company:companies default_subsidiary:subsidiaries"
            " default_tax_rate:tax_rates default_document_type:document_types einvoice_identity"
            " integration_exporter_configuration"
        ),
        filters=_set(
            "id name billing_name company_code vat status default_currency default_subsidiary_id"
            " default_tax_rate_id parent_company_id created_at archived_at last_activity_at"
            " custom_fields"
        ),
        sorts=_set("company_code created_at last_activity_at name"),
    ),
    "contact_entries": Resource(
        plain=_words(
            "type name email phone website address city state zipcode country vat"
            " billing_address billing_email contactable_type"
        ),
        to_one=_to_one(
            "company:companies person:people invoice subsidiary:subsidiaries organization"
            " purchase_order invoice_template"
        ),
        filters=_set("company_id person_id invoice_id subsidiary_id contactable_type"),
    ),
    "service_types": Resource(
        plain=_words("name archived_at"),
        to_one=_to_one("organization"),
        filters=_set("id name status"),
    ),
    "services": Resource(
        plain=_words(
            "name description position billing_type_id unit_id billable discount_type deleted_at"
            " custom_fields currency"
        ),
        money=_words("price discount_amount"),
        numbers=_words("quantity discount"),
        to_one=_to_one("service_type deal section person:people organization"),
        filters=_set("id name service_type_id billable"),
        sorts=_set("name"),
        twins=False,
    ),
    "tax_rates": Resource(
        plain=_words("name primary_component_name secondary_component_name archived_at"),
        numbers=_words("primary_component_value secondary_component_value"),
        to_one=_to_one("subsidiary:subsidiaries organization"),
        filters=_set(
            "id name primary_component_name primary_component_value secondary_component_name"
            " secondary_component_value status"
        ),
        sorts=_set("name"),
    ),
    "subsidiaries": Resource(
        plain=_words(
            "name invoice_number_format invoice_number_scope show_delivery_date invoice_logo_url"
            " export_integration_type_id archived_at"
        ),
        to_one=_to_one(
            "bill_from:contact_entries organization integration default_tax_rate:tax_rates"
            " default_bank_account:bank_accounts default_document_type:document_types"
            " einvoice_identity einvoice_configuration"
        ),
        filters=_set("id status"),
        sorts=_set("name"),
    ),
    "deleted_items": Resource(
        plain=_words("item_type item_id name location private deleter_id created_at recovered_at"),
        to_one=_to_one("deleter:people organization"),
        filters=_set("id item_type deleter_id name location created_at"),
        sorts=_set("created_at location name"),
    ),
    "organization_memberships": Resource(
        plain=_words("position updated_at"),
        to_one=_to_one("organization person:people user"),
        filters=_set("organization_id"),
    ),
    "organizations": Resource(
        plain=_words(
            "name currency time_zone locale due_days payment_terms_type"
            " invoice_rounding_method_id decimal_places_id numbering_format_settings"
            " subsidiary_count"
        ),
        to_one=_to_one("owner:people company:companies organization_subscription"),
        sorts=_set("name"),
    ),
    "people": Resource(
        plain=_words("first_name last_name email title archived_at deactivated_at"),
        to_one=_to_one("organization company:companies subsidiary:subsidiaries"),
        filters=_set("id email status"),
        sorts=_set("email name"),
    ),
}

# Kinds of a writable attribute; a question mark allows null.
_INVOICE = {
    "id?": "attachment_id bank_account_id company_id document_type_id issuer_id"
    " parent_invoice_id payment_terms_days subsidiary_id",
    "object?": "bank_account_details creation_options custom_fields",
    "text": "currency",
    "text?": "export_id export_invoice_url note number payment_terms_type"
    " purchase_order_number subject tax1_name tax2_name",
    "date": "invoiced_on",
    "date?": "delivery_on pay_on sent_on",
    "number?": "discount tax1_value tax2_value",
    "flag": "exported pay_on_relative",
    "integer": "invoice_type_id",
    "any": "tag_list",
}
_PAYMENT = {
    "integer": "amount",
    "id": "invoice_id",
    "text?": "note",
    "date?": "paid_on written_off_on",
}
_ATTACHMENT = {
    "text": "name attachment_type",
    "text?": "attachable_type content_type temp_url",
    "id?": "invoice_id",
    "integer?": "size",
}
WRITABLE: dict[str, dict[str, str]] = {
    kind: {name: form for form, names in table.items() for name in names.split()}
    for kind, table in (
        ("invoices", _INVOICE),
        ("payments", _PAYMENT),
        ("attachments", _ATTACHMENT),
    )
}
REQUIRED = {"payments": ("invoice_id", "amount"), "attachments": ("name",)}
