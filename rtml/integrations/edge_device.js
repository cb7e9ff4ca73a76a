// A linear model in one file: it predicts, goes on learning, and hands back its state; it needs nothing else.
// The arithmetic is that of rtml/integrations/edge_device.py, step by step and in the same order: the same bits.
// Node: const { Model, STATE } = require("./model.js"). A page: <script src="model.js">, then new rtml.Model(rtml.STATE).
(function (root) {
  "use strict";

  const STATE = {};

  const LOG2_HIGH = 6.93147180369123816490e-1, LOG2_LOW = 1.90821492927058770002e-10;
  const TERMS = [1.66666666666666019037e-1, -2.77777777770155933842e-3, 6.61375632143793436117e-5];
  const LAST_TERMS = [-1.65339022054652515390e-6, 4.13813679705723846039e-8];

  // Exponential function by FreeBSD's formula: the same bits in every language, unlike Math.exp.
  function exp(x) {
    if (x < -745 || x > 709) return x < 0 ? 0 : Infinity;
    const k = Math.trunc(x * 1.44269504088896338700 + (x > 0 ? 0.5 : -0.5));
    const high = x - k * LOG2_HIGH, low = k * LOG2_LOW, r = high - low, t = r * r;
    let c = t * (TERMS[2] + t * (LAST_TERMS[0] + t * LAST_TERMS[1]));
    c = r - t * (TERMS[0] + t * (TERMS[1] + c));
    let y = 1 - (low - r * c / (2 - c) - high);
    for (let i = Math.abs(k); i > 0; i--) y *= k > 0 ? 2 : 0.5;
    return y;
  }

  const sigmoid = (x) => (x < -30 ? 0 : x > 30 ? 1 : 1 / (1 + exp(-x)));

  class Model {
    constructor(state) {
      const d = state.names.length, none = () => new Array(d).fill(0);
      this.about = state;
      [this.kind, this.scaled, this.limit] = state.how;
      this.how = state.how.slice(3);
      this.count = state.count;
      this.w = [...state.weights, state.intercept];
      this.mean = [...(state.means || none())];
      this.var = [...(state.variances || none())];
      this.missed = [...(state.missed || none())];
      this.cov = Array.from({ length: d + 1 }, () => new Array(d + 1).fill(0));
      if (state.covariance) {
        for (let i = 0, at = 0; i <= d; i++) {
          for (let j = 0; j <= i; j++) this.cov[i][j] = this.cov[j][i] = state.covariance[at++];
        }
      }
    }

    // Prediction for the features in the order of names; NaN is a missing one. The probability of true.
    predict(x) {
      const dot = this._project(this._checked(x))[1];
      return this.kind === 1 || this.kind === 3 ? sigmoid(dot) : dot;
    }

    // Learn one answer: the scaler first, then the weights; for a classifier y is 0 or 1.
    learn(x, y) {
      this._checked(x);
      if (!Number.isFinite(y)) throw new RangeError(`the answer must be a finite number, got ${y}`);
      this._scale(x);
      const [z, dot] = this._project(x);
      if (this.kind < 2) return this._descend(x, z, this._gradient(dot, y));
      const guess = this.kind === 3 ? sigmoid(dot) : dot;
      const weight = this.kind === 3 ? Math.max(guess * (1 - guess), 1e-9) : 1;
      z.push(1);
      this._solve(z, (y - guess) / weight, weight);
    }

    // Everything learned, as JSON holds it: what "rtml import" reads.
    state() {
      const d = this.w.length - 1, learned = { count: this.count, weights: this.w.slice(0, d), intercept: this.w[d] };
      if (this.scaled) Object.assign(learned, { means: this.mean, variances: this.var, missed: this.missed });
      if (this.kind >= 2) learned.covariance = this.cov.flatMap((row, i) => row.slice(0, i + 1));
      return { ...this.about, ...learned };
    }

    _checked(x) {
      if (x.length === this.mean.length && !x.some((value) => Math.abs(value) === Infinity)) return x;
      throw new RangeError(`expected ${this.mean.length} finite numbers, got ${x}: NaN is a missing one`);
    }

    _project(x) {
      const z = [], d = x.length;
      let dot = 0;
      for (let j = 0; j < d; j++) {
        let value = x[j];
        if (this.scaled) {
          const deviation = Math.sqrt(this.var[j]);
          value = deviation !== 0 ? (value - this.mean[j]) / deviation : 0;
        }
        z.push(Number.isNaN(value) ? 0 : Math.max(Math.min(value, this.limit), -this.limit));
      }
      for (let j = 0; j < d; j++) dot += this.w[j] * z[j];
      return [z, dot + this.w[d]];
    }

    _scale(x) {
      this.count += 1;
      for (let j = 0; j < (this.scaled ? x.length : 0); j++) {
        if (Number.isNaN(x[j])) {
          this.missed[j] += 1;
          continue;
        }
        const old = this.mean[j], count = this.count - this.missed[j];
        this.mean[j] = old + (x[j] - old) / count;
        this.var[j] += ((x[j] - old) * (x[j] - this.mean[j]) - this.var[j]) / count;
      }
    }

    _gradient(dot, y) {
      const [, , , limit, positive, negative] = this.how;
      let gradient = 2 * (dot - y);
      if (this.kind === 1) {
        const sign = y !== 0 ? 1 : -1, weight = y !== 0 ? positive : negative, margin = dot * sign;
        gradient = weight * -sign;
        if (margin > 18) gradient = weight * exp(-margin) * -sign;
        else if (margin >= -18) gradient /= exp(margin) + 1;
      }
      return Math.max(Math.min(gradient, limit), -limit);
    }

    _descend(x, z, gradient) {
      const [rate, interceptRate, l2] = this.how, d = z.length;
      this.w[d] -= interceptRate * gradient;
      for (let j = 0; j < d; j++) this.w[j] -= rate * (z[j] * gradient + (Number.isNaN(x[j]) ? 0 : l2 * this.w[j]));
    }

    // Condition on an answer, let old ones fade, renew the faded ridge of one coefficient.
    _solve(z, error, weight) {
      const [forgetting, ridge, precision, renewal] = this.how, size = z.length;
      let gain = new Array(size).fill(0), spread = 0;
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) gain[j] += this.cov[i][j] * z[i];
      for (let j = 0; j < size; j++) spread += z[j] * gain[j];
      this._condition(gain, error, Math.max(spread, 0) + forgetting / weight, 1 / forgetting);
      if (forgetting < 1) {
        const i = Math.trunc(this.count) % size, prior = renewal * (i < size - 1 ? ridge : precision);
        gain = [...this.cov[i]];
        this._condition(gain, -this.w[i], gain[i] + 1 / prior, 1);
      }
    }

    _condition(gain, error, spread, fade) {
      const inverse = 1 / spread, step = error * inverse;
      for (let i = 0; i < gain.length; i++) {
        this.w[i] += gain[i] * step;
        for (let j = 0; j <= i; j++) {
          this.cov[i][j] = this.cov[j][i] = (this.cov[i][j] - gain[i] * gain[j] * inverse) * fade;
        }
      }
    }
  }

  if (typeof module !== "undefined" && module.exports) module.exports = { Model, STATE };
  else root.rtml = { Model, STATE };
})(typeof self !== "undefined" ? self : globalThis);
