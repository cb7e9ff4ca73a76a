"""Fraud: is this card payment fraud?"""

from __future__ import annotations

import math

from rtml.core.clock import span
from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, FeatureSet, Formula, column, moment
from rtml.usecases.fraud.operator import Checkout, Shares, View
from rtml.usecases.fraud.schema import EVENT

WINDOWS = ("24h", "7d", "30d")
LIMITS = (100, 200, 500)  # EUR: round amounts, above which a payment is looked at as a dear one
PRIOR, WEIGHT = 0.01, 2.0  # a share of fraud starts at the usual one, as if so many labels had said so

#: Shares of fraud, for an audit to recount.
SHARES = Shares(
    {f"{key}_risk_{w}": (key, span(w)) for key in ("card", "terminal") for w in WINDOWS},
    lambda frauds, told: (frauds + PRIOR * WEIGHT) / (told + WEIGHT),
)


def features(windows: bool = True) -> list[View]:
    """What is known of a payment when it is made; without ``windows`` only what the payment itself says.

    Examples
    --------
    >>> [len(views) for views in (features(windows=False), features())]
    [1, 4]
    """
    if not windows:
        return [_view("card", _payment(), "amount")]
    return [
        _view("card", _payment() + _pace() + _spend(), "amount"),
        _view("terminal", _busy(), "amount"),
        _view("card", risk("card"), "fraud"),
        _view("terminal", risk("terminal"), "fraud"),
    ]


def operator(config=None) -> Checkout:
    """What turns payments and labels into questions and answers, with empty state.

    Examples
    --------
    >>> operator().features.names[:2]
    ('amount', 'log_amount')
    """
    return Checkout(features(), shares=SHARES)


def source(name: str = "cards", *, hours: float = 0.0, **how):
    """A source of payments by name; ``hours`` is the length of a seeded town.

    Examples
    --------
    >>> source("no/such.csv")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no file no/such.csv: SOURCE is 'cards' or a Parquet file of payments, or CSV
    """
    from rtml.usecases.fraud.sources import open_payments  # pandas and pyarrow, for those that open a source alone

    return open_payments(name, **({"days": hours / 24.0} if hours else {}) | how)


use_case = UseCase(
    name="fraud",
    question="Is this card payment fraud?",
    event=EVENT,
    operator=operator,
    targets=(Target("fraud", "probability"),),
    models={"fraud": "recursive_logistic"},
    keys=("payment",),
    source=source,
    usual="cards",
    view="rtml.usecases.fraud.endpoint:FraudView",
    notebooks="fraud",
)


def _view(key: str, declared: list[Feature], column: str) -> View:
    """A view that forgets cards and terminals whose windows are empty; the checkout puts late rows in order."""
    return View(key, FeatureSet(declared, [column], lateness="0s"), labels=column == "fraud")


def _paid(window: str, how: str) -> Formula:
    return column("amount").over(window, how)


def _euro(cents: Formula) -> Formula:
    return cents / 100.0


def _payment() -> list[Feature]:
    """The payment itself."""
    hour, day = moment() % 86_400 / 3600.0, (moment() / 86_400.0).floor()
    weekend = (day + 3.0) % 7.0 >= 5.0  # 1 January 1970 was a Thursday
    above = [
        Feature(f"above_{limit}", column("amount") > 100.0 * limit, "0/1", f"dearer than {limit} EUR")
        for limit in LIMITS
    ]
    return [
        Feature("amount", _euro(column("amount")), "EUR", "what is paid"),
        Feature(
            "log_amount", (_euro(column("amount")) + 1.0).log(), "log EUR", "logarithm of one more than the amount"
        ),
        *above,
        Feature("night", hour < 6.0, "0/1", "between midnight and six, UTC"),
        Feature("weekend", weekend, "0/1", "on a Saturday or Sunday"),
    ]


def _pace() -> list[Feature]:
    """How fast the card is used."""
    waited = (moment() - moment().lag(1, within="30d")) / 3600.0
    hour = _paid("1h", "count")
    return [
        Feature("card_count_1h", hour, "count", "payments of the card in the last hour, this one included"),
        Feature("card_sum_1h", _euro(_paid("1h", "sum")), "EUR", "spent in them"),
        Feature(
            "since_last", (waited + 1.0).log(), "log h", "logarithm of the hours since the card's last payment", 6.0
        ),
    ]


def _spend() -> list[Feature]:
    """What the card spends, in windows of three lengths, and how this payment compares."""
    declared, amount = [], column("amount")
    for w in WINDOWS:
        count, total = _paid(w, "count"), _paid(w, "sum")
        others = (total - amount) / (count - 1.0)
        ratio = (amount / others).log().clip(4.0)
        score = _euro(amount - _paid(w, "mean")) / (_euro(_paid(w, "std")) + 5.0)
        dearest = (_euro(_paid(w, "max")) + 1.0).log()
        declared += [
            Feature(f"card_count_{w}", count, "count", f"payments of the card in {w}, this one included"),
            Feature(f"card_sum_{w}", _euro(total), "EUR", "spent in them"),
            Feature(f"card_mean_{w}", _euro(_paid(w, "mean")), "EUR", "mean of them"),
            Feature(f"card_max_{w}", dearest, "log EUR", "logarithm of the dearest of them"),
            Feature(f"card_score_{w}", score, "sd", "this payment against their mean, in standard deviations"),
            Feature(f"card_ratio_{w}", ratio, "log ratio", f"this payment against the mean of the others in {w}"),
        ]
    return declared


def _busy() -> list[Feature]:
    """How busy the terminal is."""
    said = "payments at the terminal in"
    return [
        Feature(f"terminal_count_{w}", _paid(w, "count"), "count", f"{said} {w}, this one included") for w in WINDOWS
    ]


def risk(key: str) -> list[Feature]:
    """Share of fraud among the labels that arrived, pulled towards the usual share where there are few.

    Examples
    --------
    >>> [feature.default for feature in risk("card")][:1], risk("card")[0].unit
    ([0.01], 'share')
    """
    declared = []
    for w in WINDOWS:
        frauds, told = column("fraud").over(w, "sum").fill(0.0), column("fraud").over(w, "count").fill(0.0)
        share = (frauds + PRIOR * WEIGHT) / (told + WEIGHT)
        said = f"fraud among the {key}'s labels that arrived in the last {w}"
        declared += [
            Feature(f"{key}_risk_{w}", share, "share", f"share of {said}", PRIOR),
            Feature(f"{key}_log_risk_{w}", share.log(), "log share", "its logarithm", math.log(PRIOR)),
        ]
    return declared
