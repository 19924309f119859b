"""The shop: services, what they do, and who calls whom, from the leaves up to the entrances.

Only data lives here. Shares and medians are chosen so that a thousand traces show every
phenomenon, with about ten spans a trace.
"""

from streamsampler.traffic.operations import (
    Call,
    Operation,
    attributes,
    consume,
    failing,
    http_call,
    http_server,
    pool,
    publish,
    query,
    step,
)

# Warehouse: stock, with a detached refresh that goes on after the answer.
_refresh = step(
    "warehouse",
    "refresh stock cache",
    180.0,
    sigma=0.7,
    attributes=attributes(cache__ttl_s=30, cache__hot=True, cache__fill=0.875),
)
_stock = http_server(
    "warehouse",
    "GET /stock/{sku}",
    3.0,
    varying=(pool("warehouse.site", "north", "north", "south", "Łódź", "São Paulo"),),
    calls=(
        Call(query("warehouse", "SELECT level FROM stock WHERE sku = $1", 4.0, sigma=0.8)),
        Call(_refresh, share=0.12, detached=True),
    ),
    failure=failing(0.012, "StockUnknown", "no level for this article"),
)

# Pricing: attributes of every type.
_price = http_server(
    "pricing",
    "POST /price",
    2.0,
    attributes=attributes(
        pricing__rules=["vat", "rebate", "größenzuschlag"],
        pricing__factors=[1.0, 0.93, -0.5],
        pricing__limits=[0, -1, 9_007_199_254_740_993],
        pricing__stages=[True, False],
        pricing__fingerprint=b"\x00\x9f\x10\xff",
        pricing__context={"currency": "EUR", "nested": {"depth": 2, "tags": ["a", "ü", 3]}},
        pricing__override=None,
        pricing__delta=-42,
        pricing__ratio=0.25,
    ),
    calls=(Call(step("pricing", "apply rules", 1.0, sigma=0.9), times=(1, 3)),),
)

# Search: parallel-looking shards, sometimes slow.
_shard = step(
    "search",
    "query shard",
    6.0,
    sigma=1.1,
    varying=(pool("search.shard", 0, 1, 2, 3), pool("search.cached", True, False, False)),
    failure=failing(0.006, "ShardTimeout", "shard did not answer in time"),
)
_search = http_server(
    "search",
    "GET /search",
    5.0,
    varying=(pool("search.terms", "teapot", "blaue Schüssel", "茶碗", "chair", "lamp"),),
    calls=(Call(_shard, times=(2, 4)),),
    handles=0.8,
)

_catalog = http_server(
    "catalog",
    "GET /items/{sku}",
    2.5,
    varying=(pool("item.sku", *(f"sku-{number:04}" for number in range(400))),),
    calls=(
        Call(query("catalog", "SELECT title, text FROM items WHERE sku = $1", 3.0)),
        Call(http_call("catalog", _stock), share=0.5),
    ),
    event="cache miss",
)

# Money: the errors that matter, a long note now and then.
_fraud = http_server(
    "fraud",
    "POST /score",
    9.0,
    sigma=0.9,
    varying=(pool("fraud.score", 0.01, 0.02, 0.08, 0.31, 0.97),),
    failure=failing(0.03, "ModelUnavailable", "no model for this region", frames=12),
)
_charge = http_server(
    "payment",
    "POST /charge",
    35.0,
    sigma=0.8,
    tenant=True,
    sets_ok=True,
    varying=(
        pool("payment.method", "card", "card", "card", "invoice", "überweisung"),
        pool("payment.note", *["-"] * 39, "n" * 5000),
    ),
    calls=(
        Call(http_call("payment", _fraud), share=0.7),
        Call(query("payment", "INSERT INTO charges VALUES ($1, $2)", 5.0)),
    ),
    failure=failing(0.08, "CardRefused", "the card's bank said no", frames=20),
    handles=0.7,
)

# What happens after an order, in traces of its own.
_mail = consume(
    "mailer",
    "orders",
    4.0,
    calls=(
        Call(step("mailer", "render receipt", 12.0, sigma=0.6)),
        Call(
            step(
                "mailer",
                "smtp send",
                60.0,
                sigma=1.0,
                failure=failing(0.06, "SmtpError", "mailbox full: größer als erlaubt"),
            )
        ),
    ),
    handles=0.5,
)
_parcel = consume(
    "shipping",
    "parcels",
    3.0,
    tenant=True,
    calls=(
        Call(http_call("shipping", _stock), times=(1, 4)),
        Call(query("shipping", "INSERT INTO parcels VALUES ($1)", 4.0)),
        Call(publish("shipping", "orders", _mail), share=0.3),
    ),
)

_audit = step(
    "orders",
    "write audit log",
    250.0,
    sigma=0.8,
    attributes=attributes(audit__kind="order", audit__version=2),
)
_order = http_server(
    "orders",
    "POST /orders",
    8.0,
    varying=(pool("order.lines", *range(1, 9)),),
    calls=(
        Call(http_call("orders", _price)),
        Call(http_call("orders", _charge)),
        Call(query("orders", "INSERT INTO orders VALUES ($1, $2, $3)", 6.0)),
        Call(publish("orders", "parcels", _parcel)),
        Call(publish("orders", "orders", _mail), share=0.8),
        Call(_audit, share=0.6, detached=True),
    ),
    handles=0.2,
)

_cart = http_server(
    "cart",
    "GET /cart",
    3.0,
    calls=(
        Call(step("cart", "load cart", 1.5, sigma=0.9)),
        Call(http_call("cart", _catalog), times=(1, 3)),
        Call(http_call("cart", _price), share=0.5),
    ),
)

# A tenant's own instances: the tenant stands on the resource.
_export_row = step(
    "exporter",
    "export row",
    9.0,
    sigma=1.2,
    varying=(pool("row.bytes", 120, 480, 2048, -1),),
    calls=(Call(query("exporter", "SELECT * FROM orders WHERE id = $1", 3.0, sigma=1.0)),),
    failure=failing(0.0008, "RowBroken", "a row without an owner"),
    handles=0.9,
)

ENTRANCES: tuple[tuple[float, Operation], ...] = (
    (0.16, http_server("gateway", "GET /healthz", 0.4, sigma=0.4)),
    (
        0.30,
        http_server(
            "gateway",
            "GET /items/{sku}",
            2.0,
            tenant=True,
            calls=(Call(http_call("gateway", _catalog)),),
        ),
    ),
    (
        0.22,
        http_server(
            "gateway",
            "GET /search",
            2.0,
            tenant=True,
            calls=(
                Call(http_call("gateway", _search)),
                Call(http_call("gateway", _catalog), share=0.4),
            ),
            handles=0.6,
        ),
    ),
    (
        0.15,
        http_server(
            "gateway",
            "GET /cart",
            2.0,
            tenant=True,
            calls=(Call(http_call("gateway", _cart)),),
        ),
    ),
    (
        0.13,
        http_server(
            "gateway",
            "POST /checkout",
            4.0,
            tenant=True,
            varying=(pool("customer.segment", "free", "free", "gold", "großkunde"),),
            calls=(
                Call(http_call("gateway", _cart)),
                Call(http_call("gateway", _order)),
            ),
            handles=0.1,
        ),
    ),
    (
        0.03,
        step(
            "exporter",
            "nightly import",
            1500.0,
            sigma=1.4,
            calls=(Call(http_call("exporter", _stock), times=(0, 2)),),
        ),
    ),
    (
        0.01,
        step(
            "exporter",
            "nightly export",
            2500.0,
            sigma=1.0,
            tenant=True,
            calls=(Call(_export_row, times=(20, 130)),),
            handles=0.9,
        ),
    ),
)
"""Share of the requests, and where they enter."""

DEDICATED = "exporter"
"""The service of which the largest tenants have instances of their own."""


def services() -> dict[str, bool]:
    """Lists the services of the shop.

    Returns:
        Each service once, in the order of a walk from the entrances; the value tells whether its
        SDK writes the W3C sampled bit into span flags.
    """
    found: dict[str, bool] = {}
    pending = [operation for _, operation in ENTRANCES]
    while pending:
        operation = pending.pop(0)
        found.setdefault(operation.service, operation.service in _SAMPLED_FLAG)
        pending += [call.to for call in operation.calls]
    return found


_SAMPLED_FLAG = frozenset({"gateway", "catalog", "search", "shipping"})
