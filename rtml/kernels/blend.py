"""A bank of linear learners over shared sums, and mixtures of what its members say, as one transition on flat arrays.

Members that differ in ridge or in the answers they learn share the sums of their forgetting, and are solved from them
every few answers. A logistic member learns from the same sums by steps of second order: an answer weighs ``p (1 - p)``,
and what is regressed on is the log odds plus ``(y - p) / (p (1 - p))``.

A mixture of rate ``eta`` multiplies the weight of a member by ``1 + eta r``, with ``r`` how much better than the
mixture it was, to first order: regrets, weighted, sum to zero, so weights go on summing to one (Prod of Cesa-Bianchi,
Mansour and Stoltz, "Improved second-order bounds for prediction with expert advice", 2007). A share is then given back
to a mix of the prior and of the weights of the mixture that shares nothing (Herbster and Warmuth, "Tracking the best
expert", 1998; Bousquet and Warmuth, "Tracking a small set of experts by mixing past posteriors", 2002).
"""

from __future__ import annotations

import math

import numpy as np
from numba import float64, int64, types, void

from rtml.kernels.answers import due
from rtml.kernels.declared import MATRIX, PLACES, STREAM, VALUES, VECTOR, kernel

COUNT, MEAN, VARIANCE, RECENT, LAST, AVERAGE, STAYED = range(7)  # of level: what is known of the answers
FEATURES, LAGS, LOGISTIC, AR, LIMIT, OUTSIDE, MEMBERS, STACK, CHAMPION = range(9)  # of sizes
WIDTH, START, OFFSET, COLUMNS, FIRST = range(5)  # of a map: its columns, where they and its weights begin
MAP, GRAM, SIDE, LEADER, EVERY = range(5)  # of a group
FORGETTING, WEIGHTED = range(2)  # of how a group learns
GROUP, COLUMN = range(2)  # of a pair of group and ridge
ETA, SHARE, BASE = range(3)  # of a mixture
BASELINES = 5  # zero or a half, running mean, last known answer, mean of about ten, pool of champion and outside ones
SHORT, LONG = 30.0, 500.0  # answers that the recent and the running variance remember
NARROW = 3.0  # limit of a scaled feature for the random features; LIMIT of sizes is that of the plain ones
WINSOR, BAND = 3.0, 5.0  # deviations: of the answers learned, of those scored and of what a member may say
INTERCEPT_PRECISION, LEAST_WEIGHT, LEAST_ODDS = 1e-4, 1e-9, 1e-6
LEAST = 1e-200  # of a weight
RECALL = 0.9  # of what is shared: by the weights of the mixture that shares nothing, the rest by the prior
TOP_ETA, TOP_SHARE = 0.5, 0.0005  # of the mixture of mixtures

_places = int64[:, ::1]
_spec = types.Tuple(
    (PLACES, _places, _places, MATRIX, _places, VECTOR, VECTOR, MATRIX, MATRIX, VECTOR)
)  # sizes, maps, groups, how, pairs, ridges, rates, cosines, mixes, prior
_learned = types.Tuple((VECTOR, MATRIX, VECTOR, VECTOR, VECTOR, MATRIX, VECTOR))


@kernel(float64, float64)
def odds(dot):
    """Probability of a log odds."""
    return 1.0 / (1.0 + math.exp(-min(max(dot, -30.0), 30.0)))


@kernel(void, VALUES, VALUES, _spec, _learned, VECTOR)
def view(x, lag, spec, learned, u):
    """Fill ``u`` with a row as each map sees it: scaled features and lags, cosines of them, a one for the intercept."""
    sizes, maps, cosines, scaler = spec[0], spec[1], spec[7], learned[1]
    d, wide = sizes[FEATURES], sizes[FEATURES] + sizes[LAGS]
    for j in range(wide):
        value = ((x[j] if j < d else lag[j - d]) - scaler[0, j]) / scaler[2, j]
        u[j] = value if value == value else 0.0  # missing: the mean
    if cosines.shape[1]:
        start, random = maps[1, START], cosines.shape[1]
        for j in range(wide):
            u[start + j] = min(max(u[j], -NARROW), NARROW)
        bent = u[start + wide : start + wide + random]
        bent[:] = cosines[wide]
        for j in range(wide):
            for k in range(random):
                bent[k] += u[start + j] * cosines[j, k]
        for k in range(random):
            bent[k] = math.cos(bent[k])
        u[start + wide + random] = 1.0
    for j in range(wide):
        u[j] = min(max(u[j], -sizes[LIMIT]), sizes[LIMIT])
    u[wide] = 1.0


@kernel(void, VALUES, _spec, VECTOR)
def pile(said, spec, u):
    """Fill the part of ``u`` that the stacked member sees: log odds of all before it, and of those from outside."""
    sizes, maps = spec[0], spec[1]
    at, before = maps[sizes[STACK], START], maps[sizes[STACK], FIRST]
    for k in range(before + sizes[OUTSIDE]):
        p = said[k] if k < before else said[sizes[MEMBERS] - sizes[OUTSIDE] + k - before]
        p = min(max(p, LEAST_ODDS), 1.0 - LEAST_ODDS) if p == p else 0.5
        u[at + k] = math.log(p / (1.0 - p))
    u[at + before + sizes[OUTSIDE]] = 1.0


@kernel(float64, VALUES, _spec)
def pool(said, spec):
    """Mean of what the champion and all members from outside who are awake say; of probabilities, that of log odds."""
    sizes, total, awake = spec[0], 0.0, 0
    for k in range(-1, sizes[OUTSIDE]):
        p = said[sizes[CHAMPION]] if k < 0 else said[sizes[MEMBERS] - sizes[OUTSIDE] + k]
        if p == p:
            awake += 1
            if sizes[LOGISTIC]:
                p = min(max(p, LEAST_ODDS), 1.0 - LEAST_ODDS)
                p = math.log(p / (1.0 - p))
            total += p
    return odds(total / awake) if sizes[LOGISTIC] else total / awake


@kernel(void, VECTOR, _spec, _learned, VECTOR)
def say(u, spec, learned, said):
    """Fill ``said`` with what every member of the bank predicts of a row as ``view`` gave it."""
    sizes, maps, level, weights = spec[0], spec[1], learned[0], learned[4]
    said[: sizes[MEMBERS] - sizes[OUTSIDE]] = 0.0
    for m in range(maps.shape[0]):
        width, columns = maps[m, WIDTH], maps[m, COLUMNS]
        if m == sizes[STACK]:
            pile(said, spec, u)
        out = said[maps[m, FIRST] : maps[m, FIRST] + columns]
        for j in range(width):
            at, value = maps[m, OFFSET] + j * columns, u[maps[m, START] + j]
            row = weights[at : at + columns]
            for c in range(columns):
                out[c] += value * row[c]
        spread = BAND * math.sqrt(level[VARIANCE])
        for c in range(columns):
            out[c] = odds(out[c]) if sizes[LOGISTIC] else min(max(out[c], level[MEAN] - spread), level[MEAN] + spread)
    last = sizes[MEMBERS] - sizes[OUTSIDE] - BASELINES
    said[last] = 0.5 if sizes[LOGISTIC] else 0.0
    said[last + 1] = level[MEAN]
    said[last + 2] = level[LAST]
    said[last + 3] = level[AVERAGE]
    said[last + 4] = pool(said, spec)
    if sizes[LOGISTIC]:  # a known label says only as much as labels stay
        said[last + 2] = level[LAST] * level[STAYED] + (1.0 - level[LAST]) * (1.0 - level[STAYED])


@kernel(float64, VALUES, VALUES)
def mean(weights, said):
    """What those who are awake say, by their weights; NaN is asleep."""
    total, part = 0.0, 0.0
    for k in range(len(said)):
        if said[k] == said[k]:
            total += weights[k] * said[k]
            part += weights[k]
    return total / part


@kernel(void, VALUES, float64, float64, float64, VECTOR)
def reweigh(said, y, unit, eta, weights):
    """Multiply the weight of each who was awake by one plus ``eta`` times its regret; the sum stays what it was.

    ``unit`` is the variance in which squared errors are measured; 0 says that ``said`` are probabilities and the loss
    is the logarithm's, with which a rate of one is Bayes' rule. Where a regret is so large that a weight would be more
    than halved, all regrets of that answer count less.
    """
    mixed, largest = mean(weights, said), 0.0
    slope = 2.0 * (mixed - y) / unit if unit > 0.0 else (-1.0 / mixed if y != 0.0 else 1.0 / (1.0 - mixed))
    if unit > 0.0:
        for k in range(len(said)):
            if said[k] == said[k]:
                largest = max(largest, abs(slope * (mixed - said[k])))
        eta = min(eta, 0.5 / max(largest, 1e-300))
    before, after = 0.0, 0.0
    for k in range(len(said)):
        if said[k] == said[k]:
            before += weights[k]
            weights[k] *= 1.0 + eta * slope * (mixed - said[k])
            after += weights[k]
    for k in range(len(said)):
        if said[k] == said[k]:
            weights[k] = max(weights[k] * (before / after), LEAST)


@kernel(void, VECTOR, VECTOR, *(3 * (float64,)), MATRIX, VECTOR, MATRIX, VECTOR)
def weigh(said, mixed, y, unit, eta, mixes, prior, shares, top):
    """Learn the weights of all mixtures, and of the mixture of them at rate ``eta``, from what was said when asked."""
    for m in range(len(mixes)):
        own, base, share = shares[m], shares[int(mixes[m, BASE])], mixes[m, SHARE]
        reweigh(said, y, unit, mixes[m, ETA], own)
        recall = RECALL if int(mixes[m, BASE]) != m else 0.0
        for k in range(len(said)):
            own[k] = (1.0 - share) * own[k] + share * ((1.0 - recall) * prior[k] + recall * base[k])
    reweigh(mixed, y, unit, eta, top)
    for m in range(len(top)):
        top[m] = (1.0 - TOP_SHARE) * top[m] + TOP_SHARE / len(top)


@kernel(void, float64, VALUES, _learned, VECTOR)
def note(y, lag, learned, near):
    """Bring the level of the answers up to date; ``near`` becomes the answer winsorised and its weight by variance."""
    level = learned[0]
    level[COUNT] += 1.0
    count, old = level[COUNT], level[MEAN]
    spread, gain = WINSOR * math.sqrt(level[VARIANCE]), max(1.0 / count, 1.0 / LONG)
    near[0] = y if count <= 10.0 else min(max(y, old - spread), old + spread)
    recent = level[RECENT]
    level[RECENT] += ((y - old) ** 2 - recent) * max(1.0 / count, 1.0 / SHORT)
    level[MEAN] += gain * (y - old)
    level[VARIANCE] += gain * ((y - old) * (y - level[MEAN]) - level[VARIANCE])
    near[1] = 1.0
    if count > SHORT:
        near[1] = min((level[VARIANCE] + 1e-300) / (0.5 * (level[VARIANCE] + recent) + 1e-300), BAND)
    if len(lag):
        level[STAYED] += ((1.0 if lag[0] == y else 0.0) - level[STAYED]) * gain
    level[LAST] = y
    level[AVERAGE] += (y - level[AVERAGE]) * max(1.0 / count, 0.1)


@kernel(void, VALUES, VALUES, _spec, _learned)
def rescale(x, lag, spec, learned):
    """Let the scaler see a row: running mean, variance and deviation of every feature and lag."""
    d, scaler = spec[0][FEATURES], learned[1]
    for j in range(scaler.shape[1]):
        value, old = x[j] if j < d else lag[j - d], scaler[0, j]
        if value == value:
            scaler[3, j] += 1.0
            scaler[0, j] = old + (value - old) / scaler[3, j]
            scaler[1, j] += ((value - old) * (value - scaler[0, j]) - scaler[1, j]) / scaler[3, j]
            root = math.sqrt(scaler[1, j])
            scaler[2, j] = root if root > 0.0 else np.inf


@kernel(void, VECTOR, float64, float64, VECTOR, int64)
def fade(sums, keep, weight, u, width):
    """Add ``weight`` times the outer product of ``u`` to the upper half of sums that fade."""
    for i in range(width):
        row, part = sums[i * width : (i + 1) * width], weight * u[i]
        for j in range(i, width):
            row[j] = row[j] * keep + part * u[j]


@kernel(void, VECTOR, VECTOR, int64, int64, float64, VECTOR)
def solve(gram, side, width, answers, ridge, out):
    """Solve the ridge regressions of a group by Cholesky's factors; ``out`` has a row an answer learned."""
    factor = gram[: width * width].reshape((width, width)).copy()
    for i in range(width):
        factor[i, i] += ridge if i < width - 1 else INTERCEPT_PRECISION
    for i in range(width):
        row, k = factor[i], 0
        while k + 4 <= i:  # four rows above at a time: a pass over the row costs more than the arithmetic in it
            first, second = factor[k], factor[k + 1]
            third, fourth = factor[k + 2], factor[k + 3]
            for j in range(i, width):
                row[j] -= first[i] * first[j] + second[i] * second[j] + third[i] * third[j] + fourth[i] * fourth[j]
            k += 4
        for above in range(k, i):
            for j in range(i, width):
                row[j] -= factor[above, i] * factor[above, j]
        scale = 1.0 / math.sqrt(row[i])
        for j in range(i, width):
            row[j] *= scale
    for a in range(answers):
        w = out[a * width : (a + 1) * width]
        w[:] = side[a * width : (a + 1) * width]
        for k in range(width):
            row = factor[k]
            w[k] /= row[k]
            part = w[k]
            for j in range(k + 1, width):
                w[j] -= part * row[j]
        for k in range(width - 1, -1, -1):
            row, total = factor[k], w[k]
            for j in range(k + 1, width):
                total -= row[j] * w[j]
            w[k] = total / row[k]


@kernel(void, VECTOR, float64, VECTOR, _spec, _learned)
def gather(u, y, near, spec, learned):
    """Add an answer to the sums of every group."""
    sizes, maps, groups, how, pairs = spec[0], spec[1], spec[2], spec[3], spec[4]
    grams, sides, weights = learned[2], learned[3], learned[4]
    for g in range(len(groups)):
        m, keep = groups[g, MAP], how[g, FORGETTING]
        width, columns = maps[m, WIDTH], maps[m, COLUMNS]
        seen = u[maps[m, START] : maps[m, START] + width]
        weight, target = near[1] if how[g, WEIGHTED] else 1.0, y
        if sizes[LOGISTIC]:
            dot, at = 0.0, maps[m, OFFSET] + pairs[groups[g, LEADER], COLUMN]
            for j in range(width):
                dot += seen[j] * weights[at + j * columns]
            dot = min(max(dot, -30.0), 30.0)
            p = odds(dot)
            weight = max(p * (1.0 - p), LEAST_WEIGHT)
            target = dot + (y - p) / weight
        fade(grams[groups[g, GRAM] : groups[g, GRAM] + width * width], keep, weight, seen, width)
        for a in range(1 if sizes[LOGISTIC] else 2):
            side, part = sides[groups[g, SIDE] + a * width :], weight * (target if a == 0 else near[0])
            for j in range(width):
                side[j] = side[j] * keep + part * seen[j]


@kernel(void, VECTOR, VECTOR, _spec, _learned)
def descend(u, near, spec, learned):
    """Move the members of stochastic gradient descent, and solve those of one feature, the last known return."""
    sizes, maps, rates = spec[0], spec[1], spec[6]
    grams, sides, weights = learned[2], learned[3], learned[4]
    width, columns = maps[0, WIDTH], maps[0, COLUMNS]
    first = columns - len(rates) - (2 if sizes[AR] >= 0 else 0)
    for s in range(len(rates)):
        dot, at = 0.0, maps[0, OFFSET] + first + s
        for j in range(width):
            dot += u[j] * weights[at + j * columns]
        error = (odds(dot) if sizes[LOGISTIC] else dot) - near[0]
        for j in range(width):
            weights[at + j * columns] -= rates[s] * error * u[j]
    i, last = sizes[AR], width - 1
    for g in range(2 if i >= 0 else 0):  # the first two groups: all answers, and those that fade fast
        gram, side = grams[spec[2][g, GRAM] :], sides[spec[2][g, SIDE] :]
        xx, x, one = gram[i * width + i] + 1.0, gram[i * width + last], gram[last * width + last]
        under, at = xx * one - x * x, maps[0, OFFSET] + columns - 2 + g
        weights[at + i * columns] = (one * side[i] - x * side[last]) / under
        weights[at + last * columns] = (xx * side[last] - x * side[i]) / under


@kernel(void, _spec, _learned)
def renew(spec, learned):
    """Solve the members whose turn it is: all of them after each of the first answers, later one after the other."""
    sizes, maps, groups, pairs, ridges = spec[0], spec[1], spec[2], spec[4], spec[5]
    count, answers, weights = int(learned[0][COUNT]), 1 if sizes[LOGISTIC] else 2, learned[4]
    for p in range(len(pairs)):
        g = pairs[p, GROUP]
        m = groups[g, MAP]
        if (count + p) % min(max(count // 16, 1), groups[g, EVERY]):
            continue
        width, columns, at = maps[m, WIDTH], maps[m, COLUMNS], maps[m, OFFSET] + pairs[p, COLUMN]
        solved = np.empty(answers * width)
        solve(learned[2][groups[g, GRAM] :], learned[3][groups[g, SIDE] :], width, answers, ridges[p], solved)
        for a in range(answers):
            for j in range(width):
                weights[at + a + j * columns] = solved[a * width + j]


@kernel(void, VALUES, _spec, _learned, VECTOR)
def ask(x, spec, learned, kept):
    """Predict; ``kept`` holds what outside members say at its places, and is filled with the rest."""
    sizes, maps, level, shares, top = spec[0], spec[1], learned[0], learned[5], learned[6]
    members, many = sizes[MEMBERS], len(top)
    said, mixed, lag = kept[1 : 1 + members], kept[1 + members : 1 + members + many], kept[1 + members + many :]
    if len(lag):
        lag[0] = level[LAST]
        lag[1] = level[AVERAGE]
    u = np.empty(maps[-1, START] + maps[-1, WIDTH])
    view(x, lag, spec, learned, u)
    say(u, spec, learned, said)
    if sizes[LOGISTIC]:
        for k in range(members):
            said[k] = min(max(said[k], LEAST_ODDS), 1.0 - LEAST_ODDS) if said[k] == said[k] else np.nan
    for m in range(many):
        mixed[m] = mean(shares[m], said)
    kept[0] = mean(top, mixed)


@kernel(void, VALUES, float64, VECTOR, _spec, _learned)
def learn(x, y, kept, spec, learned):
    """Learn an answer of a row of finite numbers, NaN where one is missing."""
    maps, near, lag = spec[1], np.empty(2), kept[1 + spec[0][MEMBERS] + len(learned[6]) :]
    note(y, lag, learned, near)
    unit, scored, level = 0.0, y, learned[0]
    if not spec[0][LOGISTIC]:
        spread = BAND * math.sqrt(level[VARIANCE])
        unit = level[VARIANCE] if level[COUNT] > 1.0 else y * y
        unit += 1e-300
        scored = min(max(y, level[MEAN] - spread), level[MEAN] + spread) if level[COUNT] > 1.0 else y
    else:
        near[0] = y
    members, rate = spec[0][MEMBERS], 2.0 * TOP_ETA if spec[0][LOGISTIC] else TOP_ETA
    said, mixed = kept[1 : 1 + members], kept[1 + members : 1 + members + len(learned[6])]
    weigh(said, mixed, scored, unit, rate, spec[8], spec[9], learned[5], learned[6])
    rescale(x, lag, spec, learned)
    u = np.empty(maps[-1, START] + maps[-1, WIDTH])
    view(x, lag, spec, learned, u)
    if spec[0][STACK] >= 0:
        pile(kept[1 : 1 + spec[0][MEMBERS]], spec, u)
    gather(u, y, near, spec, learned)
    renew(spec, learned)
    descend(u, near, spec, learned)


@kernel(int64, *STREAM, MATRIX, _spec, _learned)
def replay(X, y, moment, known, order, until, kept, spec, learned):
    """Ask the last rows of ``X`` at their moments, learn every answer once it is known; return how many answers came.

    ``kept`` has a row for each of ``X``: of those that wait what was kept, of the others what outside members say.
    """
    n, told = len(moment), 0
    before = X.shape[0] - n
    for t in range(n + 1):
        stop = due(t, moment, until, known, order, told)
        for i in order[told:stop]:
            if not math.isnan(y[i]):
                learn(X[i], y[i], kept[i], spec, learned)
        told = stop
        if t < n:
            ask(X[before + t], spec, learned, kept[before + t])
    return told
