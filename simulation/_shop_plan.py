"""The simulated shop on paper: services, what each request does, and what is logged on the way. Data, no behaviour."""

from typing import NamedTuple

ORDER, MILLIS = "\x01" * 8, "\x02" * 3
"""Holes in a log body: an id of eight hex digits, three digits of milliseconds."""

INFO, WARN, ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")  # OpenTelemetry's severity numbers


class Log(NamedTuple):
    """A line that a server writes for each request. file and line: the code location, where the service sends one."""

    body: str
    level: tuple[int, str] = INFO
    file: str = ""
    line: int = 0


class Call(NamedTuple):
    """What one service does for a request: own work (median, ms), calls one after the other, lines that it logs."""

    service: str
    name: str
    work_ms: float
    calls: tuple["Call", ...] = ()
    logs: tuple[Log, ...] = ()
    status: int = 200
    """Of the answer; 0 where there is none."""
    network_ms: float = 0.4
    """Median of one way between caller and callee."""
    lost_ms: float = 0.0
    """Above 0: it never arrives, and after so long (median) the caller gives up."""


class Endpoint(NamedTuple):
    """An entry at the gateway; share of all requests; the timeout replaces the call of one order in a thousand."""

    share: float
    call: Call
    timeout: Call | None = None


VERSIONS = {
    "gateway": "3.2.0", "catalogue": "2.3.0", "cart": "1.4.2", "checkout": "1.8.0", "payment": "5.0.1",
    "inventory": "2.0.7", "shipping": "1.1.3", "accounts": "4.6.0",
}  # fmt: skip
POOLS = {"catalogue": 20, "cart": 10, "checkout": 20, "payment": 10, "inventory": 20, "accounts": 10}
"""Size of the database connection pool of each instance, where the service has one."""


def entry(name: str, *calls: Call, status: int = 200) -> Call:
    """What the gateway does: it calls, and logs the access."""
    level = ERROR if status >= 500 else INFO
    line = Log(f'access "{name}" status={status} duration={MILLIS}ms', level)
    return Call("gateway", name, 1.2, calls, (line,), status)


_stock = Call("inventory", "GET /stock", 2.5, (), (Log(f"stock level read for sku {ORDER}"),))
_list = Call("catalogue", "GET /products", 6.0, (), (Log(f"product list page served from cache shard {ORDER}"),))
_item = Call("catalogue", "GET /products/{id}", 4.0, (_stock,), (Log(f"product {ORDER} rendered"),))
_account = Call(
    "accounts", "GET /accounts/{id}", 3.0, (), (Log(f"account {ORDER} read", INFO, "accounts/store.go", 73),)
)
_read_cart = Call("cart", "GET /carts/{id}", 2.0, (), (Log(f"cart {ORDER} read", INFO, "cart/api.py", 42),))
_add = Call("cart", "POST /carts/{id}", 3.0, (_stock,), (Log(f"item added to cart {ORDER}", INFO, "cart/api.py", 57),))
_pay = Call(
    "payment", "POST /payments", 35.0, (),
    (
        Log(f"payment requested for order {ORDER}", INFO, "payment/Payments.java", 64),
        Log(f"payment authorised after {MILLIS} ms", INFO, "payment/Payments.java", 81),
    ),
)  # fmt: skip
_no_answer = Log(f"bank did not answer for order {ORDER}", WARN, "payment/Payments.java", 77)
_slow_pay = Call("payment", "POST /payments", 900.0, (), (_no_answer,), 504)
_ship = Call("shipping", "POST /parcels", 8.0, (), (Log(f"parcel {ORDER} booked", INFO, "shipping/book.ts", 30),))
_reserve = Call("inventory", "POST /reservations", 5.0, (), (Log(f"stock reserved for order {ORDER}"),))

_OPENED = Log(f"checkout of cart {ORDER} opened", INFO, "checkout/CheckoutController.java", 88)
_PLACED = Log(f"order {ORDER} placed", INFO, "checkout/CheckoutController.java", 104)
_TIMED_OUT = Log(f"order {ORDER} given up: payment timed out", ERROR, "checkout/CheckoutService.java", 142)

_PLACE = "POST /checkout"
_checkout = Call("checkout", _PLACE, 12.0, (_read_cart, _account, _reserve, _pay, _ship), (_OPENED, _PLACED))
_timed_out = Call("checkout", _PLACE, 12.0, (_read_cart, _account, _reserve, _slow_pay), (_OPENED, _TIMED_OUT), 500)

ENDPOINTS = (
    Endpoint(0.38, entry("GET /catalogue", _list)),
    Endpoint(0.27, entry("GET /product", _item)),
    Endpoint(0.15, entry("POST /cart", _add)),
    Endpoint(0.08, entry("GET /cart", _read_cart)),
    Endpoint(0.12, entry(_PLACE, _checkout), entry(_PLACE, _timed_out, status=500)),
)
