"""A linear model in one file: it predicts, goes on learning, and hands back its state; only ``math.sqrt`` is imported.

The arithmetic is that of ``rtml/kernels/linear.py``, step by step and in the same order, so that the numbers are the
same. ``rtml export`` writes the state of a version into the line that begins with ``STATE``.
"""

from math import sqrt

STATE = {"names": [], "how": [2, 0, 8, 1, 100, 0.0001, 0, 0, 0], "count": 0, "intercept": 0, "weights": []}

_LOG2_HIGH, _LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_TERMS = (1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05)
_LAST_TERMS = (-1.65339022054652515390e-06, 4.13813679705723846039e-08)


def exp(x: float) -> float:
    """Exponential function by FreeBSD's formula: the same bits in every language, unlike that of a platform.

    Examples
    --------
    >>> from math import e
    >>> exp(0.0), abs(exp(1.0) - e) < 1e-15, exp(-800.0)
    (1.0, True, 0.0)
    """
    if x < -745.0 or x > 709.0:
        return 0.0 if x < 0.0 else float("inf")
    k = int(x * 1.44269504088896338700 + (0.5 if x > 0.0 else -0.5))
    high, low = x - k * _LOG2_HIGH, k * _LOG2_LOW
    r = high - low
    t = r * r
    c = t * (_TERMS[2] + t * (_LAST_TERMS[0] + t * _LAST_TERMS[1]))
    c = r - t * (_TERMS[0] + t * (_TERMS[1] + c))
    y = 1.0 - ((low - r * c / (2.0 - c)) - high)
    for _ in range(abs(k)):
        y = y * 2.0 if k > 0 else y * 0.5
    return y


def sigmoid(x: float) -> float:
    """Probability of a log odds, exactly 0 and 1 beyond 30 as river has it.

    Examples
    --------
    >>> sigmoid(0.0), sigmoid(31.0), sigmoid(-31.0)
    (0.5, 1.0, 0.0)
    """
    return 0.0 if x < -30.0 else (1.0 if x > 30.0 else 1.0 / (1.0 + exp(-x)))


class Model:
    """A linear model that goes on from a state.

    Parameters
    ----------
    state
        ``how`` and ``kind`` say which model it is: 0 least squares and 1 logistic regression, both by gradient descent;
        2 recursive least squares and 3 its logistic form. ``covariance`` holds the lower triangle, row by row.

    Examples
    --------
    >>> model = Model(STATE)
    >>> for i in range(100):
    ...     model.learn([], 4.0)
    >>> round(model.predict([]), 3)
    4.0
    """

    def __init__(self, state: dict) -> None:
        self.about = state
        d = len(state["names"])
        self.kind, self.scaled, self.limit = state["how"][:3]
        self.how = state["how"][3:]
        self.count = float(state["count"])
        self.w = [float(value) for value in state["weights"]] + [float(state["intercept"])]
        self.mean = [float(value) for value in state.get("means", [0.0] * d)]
        self.var = [float(value) for value in state.get("variances", [0.0] * d)]
        self.missed = [float(value) for value in state.get("missed", [0.0] * d)]
        self.cov = [[0.0] * (d + 1) for _ in range(d + 1)]
        triangle = iter(state.get("covariance") or self._prior(d))
        for i in range(d + 1):
            for j in range(i + 1):
                self.cov[i][j] = self.cov[j][i] = float(next(triangle))

    def predict(self, x: list) -> float:
        """Prediction for the features in the order of ``names``; NaN is a missing one. The probability of True."""
        dot = self._project(self._checked(x))[1]
        return sigmoid(dot) if self.kind in (1, 3) else dot

    def learn(self, x: list, y: float) -> None:
        """Learn one answer: the scaler first, then the weights; for a classifier ``y`` is 0 or 1."""
        x = self._checked(x)
        if not -1.7976931348623157e308 <= y <= 1.7976931348623157e308:
            raise ValueError(f"the answer must be a finite number, got {y}")
        self._scale(x)
        z, dot = self._project(x)
        if self.kind < 2:
            return self._descend(x, z, self._gradient(dot, y))
        guess = sigmoid(dot) if self.kind == 3 else dot
        weight = max(guess * (1.0 - guess), 1e-9) if self.kind == 3 else 1.0
        z.append(1.0)
        self._solve(z, (y - guess) / weight, weight)

    def state(self) -> dict:
        """Everything learned, as JSON holds it: what ``rtml import`` reads."""
        state = dict(self.about)
        state["count"], state["weights"], state["intercept"] = self.count, self.w[:-1], self.w[-1]
        if self.scaled:
            state["means"], state["variances"], state["missed"] = self.mean, self.var, self.missed
        if self.kind >= 2:
            state["covariance"] = [self.cov[i][j] for i in range(len(self.w)) for j in range(i + 1)]
        return state

    def _prior(self, d: int) -> list:
        """Lower triangle of the covariance before the first answer."""
        ridge = [1.0 / (self.how[1] or 1.0)] * d + [1.0 / (self.how[2] or 1.0)]
        return [ridge[i] if i == j else 0.0 for i in range(d + 1) for j in range(i + 1)]

    def _checked(self, x: list) -> list:
        if len(x) != len(self.mean) or any(abs(value) == float("inf") for value in x):
            raise ValueError(f"expected {len(self.mean)} finite numbers, got {x}: NaN is a missing one")
        return x

    def _project(self, x: list) -> tuple:
        """The row as the weights see it, and what they make of it."""
        z, dot = [], 0.0
        for j in range(len(x)):
            value = float(x[j])
            if self.scaled:
                root = sqrt(self.var[j])
                value = (value - self.mean[j]) / root if root != 0.0 else 0.0
            value = value if value == value else 0.0
            z.append(max(min(value, self.limit), -self.limit))
        for j in range(len(x)):
            dot += self.w[j] * z[j]
        return z, dot + self.w[-1]

    def _scale(self, x: list) -> None:
        self.count += 1.0
        for j in range(len(x) if self.scaled else 0):
            if x[j] != x[j]:
                self.missed[j] += 1.0
                continue
            old, count = self.mean[j], self.count - self.missed[j]
            self.mean[j] = old + (x[j] - old) / count
            self.var[j] += ((x[j] - old) * (x[j] - self.mean[j]) - self.var[j]) / count

    def _gradient(self, dot: float, y: float) -> float:
        """Gradient of the squared or the log loss, limited."""
        _, _, _, limit, positive, negative = self.how
        gradient = 2.0 * (dot - y)
        if self.kind == 1:
            sign, weight = (1.0, positive) if y != 0.0 else (-1.0, negative)
            margin = dot * sign
            gradient = weight * -sign
            if margin > 18.0:
                gradient = weight * exp(-margin) * -sign
            elif margin >= -18.0:
                gradient /= exp(margin) + 1.0
        return max(min(gradient, limit), -limit)

    def _descend(self, x: list, z: list, gradient: float) -> None:
        rate, intercept_rate, l2 = self.how[:3]
        self.w[-1] -= intercept_rate * gradient
        for j in range(len(z)):
            self.w[j] -= rate * (z[j] * gradient + (l2 * self.w[j] if x[j] == x[j] else 0.0))

    def _solve(self, z: list, error: float, weight: float) -> None:
        """Condition on an answer, let old ones fade, renew the faded ridge of one coefficient."""
        forgetting, ridge, precision, renewal = self.how[:4]
        size, spread = len(z), 0.0
        gain = [0.0] * size
        for i in range(size):
            row, value = self.cov[i], z[i]
            for j in range(size):
                gain[j] += row[j] * value
        for j in range(size):
            spread += z[j] * gain[j]
        self._condition(gain, error, max(spread, 0.0) + forgetting / weight, 1.0 / forgetting)
        if forgetting < 1.0:
            i = int(self.count) % size
            gain, prior = list(self.cov[i]), renewal * (ridge if i < size - 1 else precision)
            self._condition(gain, -self.w[i], gain[i] + 1.0 / prior, 1.0)

    def _condition(self, gain: list, error: float, spread: float, fade: float) -> None:
        inverse = 1.0 / spread
        step = error * inverse
        for i in range(len(gain)):
            self.w[i] += gain[i] * step
            for j in range(i + 1):
                self.cov[i][j] = (self.cov[i][j] - (gain[i] * gain[j]) * inverse) * fade
                self.cov[j][i] = self.cov[i][j]
