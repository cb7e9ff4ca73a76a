"""Models that are not of river, as somebody may bring them: scikit-learn's two protocols and a plain class."""

import numpy as np


class Descent:
    """A linear model or logistic regression with ``partial_fit``, as scikit-learn's SGD estimators have it."""

    def __init__(self, proba=True, rate=0.05, fails_at=None):
        self.proba, self.rate, self.fails_at = proba, rate, fails_at
        self.weights = None
        if not proba:
            self.predict_proba = None
            del self.predict_proba

    def partial_fit(self, X, y, classes=None):
        assert np.isfinite(X).all(), "this estimator takes no NaN"
        if y[0] == self.fails_at:
            raise ZeroDivisionError("as it was told")
        self.classes_ = classes
        outputs = 1 if classes is None else len(classes)
        self.weights = np.zeros((outputs, X.shape[1] + 1)) if self.weights is None else self.weights
        Z = np.column_stack([X, np.ones(len(X))])
        truth = y[:, None] if classes is None else y[:, None] == classes
        self.weights += self.rate * (truth - self._scores(Z)).T @ Z
        return self

    def predict(self, X):
        scores = self._scores(np.column_stack([X, np.ones(len(X))]))
        return scores[:, 0] if self.classes_ is None else self.classes_[scores.argmax(axis=1)]

    def _scores(self, Z):
        scores = Z @ self.weights.T
        if self.classes_ is None:
            return scores
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


class DescentProba(Descent):
    """The same with ``predict_proba``."""

    def predict_proba(self, X):
        return self._scores(np.column_stack([X, np.ones(len(X))]))


class NearestMean:
    """A batch classifier with ``fit`` and ``predict_proba``, which names the classes that it saw."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means = np.array([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def predict_proba(self, X):
        odds = np.exp(-((X[:, None] - self.means) ** 2).sum(axis=2))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class LeastSquares:
    """A batch regressor with ``fit`` and ``predict``."""

    def fit(self, X, y):
        self.coef_ = np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y, rcond=None)[0]

    def predict(self, X):
        return np.column_stack([X, np.ones(len(X))]) @ self.coef_


class LastAnswer:
    """A plain class: the last answer again."""

    def __init__(self):
        self.last = 0.0

    def predict(self, x):
        return self.last

    def learn(self, x, y):
        self.last = y


class Counts:
    """A plain class of three classes: how often each was seen."""

    def __init__(self):
        self.counts = np.ones(3)

    def predict(self, x):
        return self.counts

    def learn(self, x, y):
        self.counts[int(y)] += 1.0


class Distance:
    """A plain class that learns without labels."""

    unsupervised = True

    def __init__(self):
        self.n, self.mean = 0, 0.0

    def predict(self, x):
        return float(np.tanh(abs(np.nan_to_num(x[0]) - self.mean)))

    def learn(self, x, y):
        assert y != y
        self.n += 1
        self.mean += (np.nan_to_num(x[0]) - self.mean) / self.n
