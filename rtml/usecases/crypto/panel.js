/* candles, what was predicted for them, and the interval around it */
{
const KEY = '<i class="key"></i>predicted <i class="key band"></i>interval that holds 90 % of the truths';
const {known, clock, signed, digits, step} = rtml;
const candle = q => ({...q.closed, at: q.at, value: Object.values(q.predictions)[0]});
const price = (b, v) => b.close * Math.exp(v / 1e4);

function read(b) {
  const d = digits(b.close), first = Object.values(b.answers ?? {})[0];
  return `${clock(b.at)} · open ${b.open.toFixed(d)} high ${b.high.toFixed(d)} low ${b.low.toFixed(d)} close ${b.close.toFixed(d)} · ${b.n} trades` +
    (known(first?.predicted) ? ` · predicted ${signed(first.predicted, 2)} bp` : "") + (known(first?.y) ? `, came ${signed(first.y, 2)} bp` : "");
}

rtml.panel("Price, and what was predicted for it", KEY, (questions, svg) => {
  const shown = questions.filter(q => known(q.closed?.close)).map(q => ({...candle(q), answers: q.answers})), width = svg.clientWidth;
  if (!shown.length || !width) return null;
  const ahead = rtml.horizon() || step();
  const drawn = shown.filter(b => known(b.value?.value)).map(b => ({t: b.at + ahead,
    mid: price(b, b.value.value), lo: price(b, b.value.low ?? b.value.value), hi: price(b, b.value.high ?? b.value.value)}));
  const t0 = shown[0].at, t1 = Math.max(shown.at(-1).at, drawn.at(-1)?.t ?? 0), inside = drawn.filter(p => p.t >= t0);
  const wide = inside.map(p => p.hi - p.lo).sort((a, b) => a - b), most = wide[wide.length >> 1] ?? 0;  // those of a model that has just begun may be huge
  const all = [...shown.flatMap(b => [b.low, b.high]).filter(known), ...inside.flatMap(p => [p.mid, Math.max(p.lo, p.mid - most), Math.min(p.hi, p.mid + most)])];
  const low = Math.min(...all), high = Math.max(...all), pad = (high - low) * .04 || high * 1e-5;
  for (const p of inside) { p.lo = Math.max(p.lo, low - pad); p.hi = Math.min(p.hi, high + pad); }
  const f = rtml.frame(svg, low - pad, high + pad, v => v.toFixed(digits(high)), 5), {y} = f;
  const slots = Math.max(1, Math.round((t1 - t0) / step())) + 1, dx = (f.w - f.right) / slots;
  const xt = t => dx / 2 + (t - t0) / step() * dx, x = i => xt(shown[i].at);
  const near = (a, b) => b.t - a.t <= 1.5 * step();
  let band = "", path = "";
  inside.forEach((p, i) => {
    path += (i && near(inside[i - 1], p) ? "L" : "M") + xt(p.t) + " " + y(p.mid);
    if (i && near(inside[i - 1], p)) { const q = inside[i - 1];
      band += `M${xt(q.t)} ${y(q.lo)}L${xt(q.t)} ${y(q.hi)}L${xt(p.t)} ${y(p.hi)}L${xt(p.t)} ${y(p.lo)}Z`; }
  });
  const now = inside.at(-1), body = Math.max(1.5, dx * .62);
  const drawnCandle = (b, i) => { if (!known(b.open)) return ""; const c = b.close >= b.open ? "var(--up)" : "var(--down)", top = y(Math.max(b.open, b.close));
    return `<g opacity="${b.complete === false ? .35 : b.empty ? .5 : 1}"><line x1="${x(i)}" x2="${x(i)}" y1="${y(b.high)}" y2="${y(b.low)}" stroke="${c}"/>` +
      `<rect x="${x(i) - body / 2}" y="${top}" width="${body}" height="${Math.max(1.2, y(Math.min(b.open, b.close)) - top)}" fill="${c}"/></g>`; };
  svg.innerHTML = f.out + `<path d="${band}" fill="var(--band)"/>` + shown.map(drawnCandle).join("") +
    `<path d="${path}" fill="none" stroke="var(--mine)" stroke-width="1.6"/>` +
    (now ? `<line x1="${xt(now.t)}" x2="${xt(now.t)}" y1="${y(now.lo)}" y2="${y(now.hi)}" stroke="var(--mine)" stroke-width="2"/><circle cx="${xt(now.t)}" cy="${y(now.mid)}" r="4" fill="var(--mine)"/>` : "") +
    rtml.times(f, shown, x);
  const last = shown.at(-1);
  svg.setAttribute("aria-label", `${shown.length} bars up to ${clock(last.at)}, last close ${last.close}`);
  svg.dataset.bars = shown.length; svg.dataset.end = last.at;
  return {of: shown, x: b => xt(b.at), read};
});
}
