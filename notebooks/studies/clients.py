"""Federated learning of the recursive linear models: rows stay where they are, only sums leave, and the sums add up.

What least squares learned of its rows is their information: the matrix of products of features, and the products with
the answers. Both are sums over rows, so those of several clients add up to those of all rows. With ``forgetting=1`` the
merged model is the central one to rounding, whatever distribution each client has. Everything else is approximate:

* with forgetting below 1 the weight of an answer depends on how many came after it at the same client;
* logistic regression has no sums that are enough: each client's is a Gaussian around its own weights (Laplace), and
  their product is near the central model where clients agree, and not where they do not.

Features must mean the same everywhere: a scaler that learns at each client would give every client units of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from rtml.kernels import linear
from rtml.models.recursion import Recursion

_UNIT = 2.0**-32  # of a masked number: beyond 2**31 it would wrap around


@dataclass(frozen=True)
class Information:
    """What a client sends: sums over its rows, ``d + 1`` of each with the intercept last.

    Parameters
    ----------
    names
        Names of the features.
    matrix
        Information of the rows about the weights, shape (d + 1, d + 1); for least squares the products of features.
    vector
        That times the weights, shape (d + 1,); for least squares the products of features with answers.
    answers
        Number of answers.
    """

    names: tuple[str, ...]
    matrix: np.ndarray
    vector: np.ndarray
    answers: float

    @classmethod
    def of(cls, model: Recursion, names: Sequence[str], since: Self | None = None) -> Self:
        """What a model learned beyond its prior; or beyond what it knew when it was handed out.

        Examples
        --------
        >>> from rtml.models.rls import RecursiveLeastSquares
        >>> clients = [RecursiveLeastSquares(ridge=1e-6) for _ in range(2)]
        >>> for i in range(20):  # the clients see different inputs of one law
        ...     clients[i % 2].learn_one({"a": i % 7, "b": i % 2 + i}, 3 * (i % 7) - (i % 2 + i))
        >>> merged = sum((Information.of(client, ["a", "b"]) for client in clients[1:]),
        ...              Information.of(clients[0], ["a", "b"])).put_into(RecursiveLeastSquares(ridge=1e-6))
        >>> {name: round(weight, 3) for name, weight in merged.weights.items()}, merged.answers
        ({'a': 3.0, 'b': -1.0}, 20.0)
        """
        matrix = np.linalg.inv(model.covariance(names))
        weights = np.array([*(model.weights.get(name, 0.0) for name in names), model.intercept])
        matrix = (matrix + matrix.T) / 2
        found = cls(tuple(names), matrix - _prior(model, names), matrix @ weights, model.answers)
        return found if since is None else found - since

    def __add__(self, other: Information) -> Self:
        if self.names != other.names:
            raise ValueError(f"clients must send the same features in the same order, got {self.names}, {other.names}")
        sums = (getattr(self, name) + getattr(other, name) for name in ("matrix", "vector", "answers"))
        return replace(self, **dict(zip(("matrix", "vector", "answers"), sums, strict=True)))

    def __sub__(self, other: Information) -> Self:
        return self + replace(other, matrix=-other.matrix, vector=-other.vector, answers=-other.answers)

    def put_into(self, like: Recursion) -> Recursion:
        """A new model that knows this, with the parameters of ``like``: what clients go on from."""
        made = type(like)(like.ridge, like.forgetting)._grown(list(self.names))
        matrix = self.matrix + _prior(like, self.names)
        covariance = np.linalg.inv(matrix)
        made._flat.covariance[:] = (covariance + covariance.T) / 2
        made._flat.table[linear.WEIGHTS] = np.linalg.solve(matrix, self.vector)
        made._flat.table[linear.MEANS, -1] = self.answers
        return made

    def masked(self, client: int, seeds: Mapping[int, int]) -> np.ndarray:
        """The sums as whole numbers under masks that cancel in the sum over all clients, uint64.

        A server that adds up what all clients send learns the total and nothing of a single one (Bonawitz et al.,
        "Practical secure aggregation for privacy-preserving machine learning", CCS 2017, without its recovery from
        clients that drop out: then the round is repeated). Numbers are rounded to 2.3e-10.

        Parameters
        ----------
        client
            Number of this client.
        seeds
            By number of every other client the secret that both share.
        """
        flat = np.concatenate([self.matrix[np.triu_indices(len(self.vector))], self.vector, [self.answers]])
        if np.abs(flat).max() >= 2.0**31:
            raise ValueError(f"a sum of {np.abs(flat).max():.3g} cannot be masked: bring features to units below 1,000")
        sent = np.rint(flat / _UNIT).astype(np.int64).view(np.uint64)
        for other, seed in seeds.items():
            mask = np.random.default_rng(seed).integers(0, 2**64, flat.size, np.uint64)
            sent = sent + mask if client < other else sent - mask
        return sent

    @classmethod
    def unmasked(cls, names: Sequence[str], sent: Sequence[np.ndarray]) -> Self:
        """The total of what all clients sent under masks."""
        flat = np.sum(sent, axis=0, dtype=np.uint64).view(np.int64) * _UNIT
        size = len(names) + 1
        upper = np.zeros((size, size))
        upper[np.triu_indices(size)] = flat[: -size - 1]
        return cls(tuple(names), upper + np.triu(upper, 1).T, flat[-size - 1 : -1], float(flat[-1]))


def merge(models: Sequence[Recursion], names: Sequence[str]) -> Recursion:
    """One model of what all clients' models learned from their own rows, from nothing."""
    first, *others = [Information.of(model, names) for model in models]
    return sum(others, first).put_into(models[0])


def _prior(model: Recursion, names: Sequence[str]) -> np.ndarray:
    fresh = type(model)(model.ridge, model.forgetting)
    return np.diag(1.0 / np.diag(fresh.covariance(names)))
