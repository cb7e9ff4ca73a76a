"""Fraud: is this card payment fraud?"""

from __future__ import annotations

import numpy as np

from rtml.checkout import Checkout, Shares, View
from rtml.clock import span
from rtml.features import Feature, FeatureSet, Formula, column
from rtml.payments import EVENT as EVENT
from rtml.payments import LABEL, PAYMENT

NAME = "fraud"
QUESTION = "Is this card payment fraud?"
MODELS = {"fraud": "recursive_logistic"}  # of the zoo, by target
TARGETS = {"fraud": lambda y: y}

WINDOWS = ("24h", "7d", "30d")
LIMITS = (100, 200, 500)  # EUR: round amounts, above which a payment is looked at as a dear one
PRIOR, WEIGHT = 0.01, 2.0  # a share of fraud starts at the usual one, as if so many labels had said so
_COLUMNS = ("amount", "hours", "night", "weekend", *(f"above_{limit}" for limit in LIMITS), "payment", "told", "fraud")
_DAY = span("1d")

#: Shares of fraud, for an audit to recount.
SHARES = Shares(
    {f"{key}_risk_{w}": (key, span(w)) for key in ("card", "terminal") for w in WINDOWS},
    lambda frauds, told: (frauds + PRIOR * WEIGHT) / (told + WEIGHT),
)


def rows(events: np.ndarray) -> np.ndarray:
    """Events as rows of the columns that features are declared on; what a row does not say is NaN."""
    paid, told = events["kind"] == PAYMENT, events["kind"] == LABEL
    time, amount = events["time"], events["amount"]
    hour, weekday = time % _DAY / 3.6e12, (time // _DAY + 3) % 7  # 1 January 1970 was a Thursday
    payment = [amount, time / 3.6e12, hour < 6, weekday >= 5, *(amount > 100 * limit for limit in LIMITS)]
    columns = [np.where(paid, column, np.nan) for column in payment]
    columns += [np.where(paid, 1.0, np.nan), np.where(told, 1.0, np.nan), np.where(told, events["label"], np.nan)]
    return np.stack(columns, axis=1)


def features(windows: bool = True) -> list[View]:
    """What is known of a payment when it is made; without ``windows`` only what the payment itself says."""
    if not windows:
        return [View("card", FeatureSet(_payment(), _COLUMNS))]
    card = FeatureSet(_payment() + _pace() + _spend(), _COLUMNS)
    told = FeatureSet(_risk("card"), _COLUMNS)
    terminal = FeatureSet(_terminal() + _risk("terminal"), _COLUMNS)
    return [View("card", card), View("card", told, labels=True), View("terminal", terminal, labels=True)]


def operator(recipe=None) -> Checkout:
    """What turns payments and labels into questions and answers, with empty state."""
    return Checkout(features(), rows, shares=SHARES)


def _over(name: str, window: str, how: str) -> Formula:
    return column(name).over(window, how)


def _euro(cents: Formula) -> Formula:
    return cents / 100.0


def _payment() -> list[Feature]:
    """The payment itself."""
    above = [Feature(f"above_{limit}", column(f"above_{limit}"), "0/1", f"dearer than {limit} EUR") for limit in LIMITS]
    return [
        Feature("amount", _euro(column("amount")), "EUR", "what is paid"),
        Feature(
            "log_amount", (_euro(column("amount")) + 1.0).log(), "log EUR", "logarithm of one more than the amount"
        ),
        *above,
        Feature("night", column("night"), "0/1", "between midnight and six, UTC"),
        Feature("weekend", column("weekend"), "0/1", "on a Saturday or Sunday"),
    ]


def _pace() -> list[Feature]:
    """How fast the card is used."""
    waited = column("hours") - column("hours").lag(1)
    hour = _over("payment", "1h", "count")
    return [
        Feature("card_count_1h", hour, "count", "payments of the card in the last hour, this one included"),
        Feature("card_sum_1h", _euro(_over("amount", "1h", "sum")), "EUR", "spent in them"),
        Feature(
            "since_last", (waited + 1.0).log(), "log h", "logarithm of the hours since the card's last payment", 6.0
        ),
    ]


def _spend() -> list[Feature]:
    """What the card spends, in windows of three lengths, and how this payment compares."""
    declared, amount = [], column("amount")
    for w in WINDOWS:
        count, total = _over("payment", w, "count"), _over("amount", w, "sum")
        others = (total - amount) / (count - 1.0)
        ratio = (amount / others).log().clip(4.0)
        score = _euro(amount - _over("amount", w, "mean")) / (_euro(_over("amount", w, "std")) + 5.0)
        dearest = (_euro(_over("amount", w, "max")) + 1.0).log()
        declared += [
            Feature(f"card_count_{w}", count, "count", f"payments of the card in {w}, this one included"),
            Feature(f"card_sum_{w}", _euro(total), "EUR", "spent in them"),
            Feature(f"card_mean_{w}", _euro(_over("amount", w, "mean")), "EUR", "mean of them"),
            Feature(f"card_max_{w}", dearest, "log EUR", "logarithm of the dearest of them"),
            Feature(f"card_score_{w}", score, "sd", "this payment against their mean, in standard deviations"),
            Feature(f"card_ratio_{w}", ratio, "log ratio", f"this payment against the mean of the others in {w}"),
        ]
    return declared


def _terminal() -> list[Feature]:
    """How busy the terminal is."""
    said = "payments at the terminal in"
    return [
        Feature(f"terminal_count_{w}", _over("payment", w, "count"), "count", f"{said} {w}, this one included")
        for w in WINDOWS
    ]


def _risk(key: str) -> list[Feature]:
    """Share of fraud among the labels that arrived, pulled towards the usual share where there are few."""
    declared = []
    for w in WINDOWS:
        frauds, told = _over("fraud", w, "sum").fill(0.0), _over("told", w, "count").fill(0.0)
        share = (frauds + PRIOR * WEIGHT) / (told + WEIGHT)
        said = f"fraud among the {key}'s labels that arrived in the last {w}"
        declared += [
            Feature(f"{key}_risk_{w}", share, "share", f"share of {said}", PRIOR),
            Feature(f"{key}_log_risk_{w}", share.log(), "log share", "its logarithm", float(np.log(PRIOR))),
        ]
    return declared
