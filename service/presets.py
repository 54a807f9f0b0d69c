"""Layouts of well-known systems: where their exports have what we need.

A layout is chosen by the names that an export has (``Source.layout_of``), so that what Shopify, WooCommerce,
Magento, HubSpot or Salesforce give can be dropped as it is. What is not mapped is never read, password hashes and
tokens among it.

Sources of the column names: header lines of exports in public repositories (Shopify, HubSpot), the columns of
WooCommerce's report controller, Adobe's sample of a Magento customer file, Salesforce's object reference; the
members of JSON documents are those of each system's public API. Labels that Salesforce's reports and Magento's
grid show are from experience.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.model import SOURCES, FieldPath, Layout

_PLUS = " + "
# Stricter than a source's own layout: half of a stranger's names must not pass for a system we know.
_ALL = (("source_id",), ("full_name",), ("email",))


def read_values(written: str | Sequence[str]) -> tuple[FieldPath, ...]:
    """Places in order of preference; `` + `` joins what stands at several.

    >>> read_values(["Name", "First Name + Last Name"])
    (('Name',), ('First Name', 'Last Name'))
    """
    options = [written] if isinstance(written, str) else written
    return tuple(tuple(place.strip() for place in option.split(_PLUS)) for option in options)


def _layout(
    name: str, fields: Mapping[str, str | Sequence[str]], rows_at: str = "customers", *, is_continued: bool = False
) -> Layout:
    values = {field: read_values(written) for field, written in fields.items()}
    return Layout(name, values, rows_at, _ALL, is_continued)


PRESETS: tuple[Layout, ...] = (
    # Each of the built-in sources may write as the other does.
    *(replace(source.own, needs=_ALL) for source in SOURCES),
    _layout(
        "shopify",
        {
            "source_id": "Customer ID",
            "full_name": "First Name + Last Name",
            "email": "Email",
            "phone": ["Phone", "Default Address Phone"],
            "orders_count": "Total Orders",
        },
    ),
    _layout(
        "shopify-api",
        {
            "source_id": "id",
            "full_name": ["first_name + last_name", "default_address.first_name + default_address.last_name"],
            "email": "email",
            "phone": ["phone", "default_address.phone"],
            "signup_date": "created_at",
            "status": "state",
            "orders_count": "orders_count",
        },
    ),
    # Its analytics give no id: a user's name is one, and guests are known by their address.
    _layout(
        "woocommerce",
        {
            "source_id": ["Username", "Email"],
            "full_name": "Name",
            "email": "Email",
            "phone": ["Billing Phone", "Shipping Phone"],
            "signup_date": "Sign Up",
            "orders_count": "Orders",
        },
    ),
    _layout(
        "woocommerce-api",
        {
            "source_id": "id",
            "full_name": ["first_name + last_name", "billing.first_name + billing.last_name"],
            "email": ["email", "billing.email"],
            "phone": ["billing.phone", "shipping.phone"],
            "signup_date": "date_created",
            "orders_count": "orders_count",
        },
    ),
    # Customers are known by their address there; the rows below one hold further addresses of the same customer.
    _layout(
        "magento",
        {
            "source_id": "email",
            "full_name": "firstname + lastname",
            "email": "email",
            "phone": "_address_telephone",
            "signup_date": "created_at",
        },
        is_continued=True,
    ),
    _layout(
        "magento-grid",
        {
            "source_id": "ID",
            "full_name": "Name",
            "email": "Email",
            "phone": "Phone",
            "signup_date": "Customer Since",
        },
    ),
    _layout(
        "magento-api",
        {
            "source_id": "id",
            "full_name": "firstname + lastname",
            "email": "email",
            "phone": ["addresses[0].telephone", "addresses[1].telephone"],
            "signup_date": "created_at",
        },
        rows_at="items",
    ),
    _layout(
        "hubspot",
        {
            "source_id": ["Record ID", "Contact ID"],
            "full_name": "First Name + Last Name",
            "email": "Email",
            "phone": ["Phone Number", "Mobile Phone Number"],
            "signup_date": "Create Date",
        },
    ),
    _layout(
        "hubspot-api",
        {
            "source_id": "id",
            "full_name": "properties.firstname + properties.lastname",
            "email": "properties.email",
            "phone": ["properties.phone", "properties.mobilephone"],
            "signup_date": ["properties.createdate", "createdAt"],
        },
        rows_at="results",
    ),
    _layout(
        "salesforce",
        {
            "source_id": "Id",
            "full_name": ["Name", "FirstName + LastName"],
            "email": "Email",
            "phone": ["Phone", "MobilePhone"],
            "signup_date": "CreatedDate",
        },
    ),
    _layout(
        "salesforce-report",
        {
            "source_id": "Contact ID",
            "full_name": ["Full Name", "First Name + Last Name"],
            "email": "Email",
            "phone": ["Phone", "Mobile"],
            "signup_date": "Created Date",
        },
    ),
    _layout(
        "salesforce-api",
        {
            "source_id": "Id",
            "full_name": ["Name", "FirstName + LastName"],
            "email": "Email",
            "phone": ["Phone", "MobilePhone"],
            "signup_date": "CreatedDate",
        },
        rows_at="records",
    ),
    _layout(
        "plain",
        {
            "source_id": "id",
            "full_name": ["name", "first_name + last_name"],
            "email": "email",
            "phone": "phone",
            "signup_date": ["registered", "signup_date", "created_at"],
            "status": "status",
            "orders_count": "orders_count",
        },
    ),
)
"""The layouts we know, in the order that settles ties."""

PRESET: Mapping[str, Layout] = {layout.name: layout for layout in PRESETS}
