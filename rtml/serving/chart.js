/* charts: each is one string of SVG, all of it numbers; all show one range of time and mark one moment */
const view = {span: null, to: null};  // ms; null: as many as fit, and the newest
const charts = [];
let mark = null;  // ms: what all charts point at
const fit = () => Math.max(24, Math.min(150, Math.floor(innerWidth / 8)));
const bound = (v, low, high) => Math.max(low, Math.min(high, v));

/* from and to of what is shown, and of all there is */
function range() {
  const of = every(), whole = [of[0]?.at ?? 0, of.at(-1)?.at ?? 0], to = view.to ?? whole[1];
  const from = view.span === null ? of[Math.max(0, of.length - fit())]?.at ?? 0 : to - view.span;
  return {from: Math.max(from, whole[0]), to, whole};
}
const shown = () => { const {from, to} = range(); return every().filter(q => q.at >= from && q.at <= to); };
function look(from, span) {
  const {whole: [first, last]} = range();
  span = bound(span, Math.min(5 * step(), last - first), last - first);
  from = bound(from, first, last - span);
  view.span = span; view.to = from + span >= last ? null : from + span;
  show();
}
function reset() { view.span = view.to = null; show(); }
function zoom(by, at = .5) { const {from, to} = range(); look(from + at * (to - from) * (1 - by), (to - from) * by); }
function pan(share) { const {from, to} = range(); look(from + share * (to - from), to - from); }

/* pointer, wheel and keyboard of a chart; draw gives {of, x, read}: questions, their place, what is said of one */
function chart(svg, line, rest, draw) {
  const one = {svg, line, rest, draw, drawn: null}, down = new Map(), part = e => bound(e.offsetX / svg.clientWidth, 0, 1);
  charts.push(one);
  svg.tabIndex = 0;
  svg.setAttribute("aria-describedby", "keyboard");
  const nearest = () => one.drawn?.of.reduce((a, b) => Math.abs(b.at - mark) < Math.abs(a.at - mark) ? b : a);
  one.nearest = nearest;
  const spot = px => { const {of = [], x} = one.drawn ?? {}; if (of.length) { mark = of.reduce((a, b) => Math.abs(x(b) - px) < Math.abs(x(a) - px) ? b : a).at; point(); } };
  svg.onpointerdown = e => { down.set(e.pointerId, e.offsetX); svg.setPointerCapture(e.pointerId); };
  svg.onpointerup = svg.onpointercancel = e => down.delete(e.pointerId);
  svg.onpointermove = e => {
    if (!down.has(e.pointerId)) return spot(e.offsetX);
    const before = down.get(e.pointerId), other = [...down].find(([id]) => id !== e.pointerId)?.[1];
    down.set(e.pointerId, e.offsetX);
    if (other === undefined) pan((before - e.offsetX) / svg.clientWidth);
    else zoom(bound(Math.abs(before - other) / Math.max(1, Math.abs(e.offsetX - other)), .5, 2), bound(other / svg.clientWidth, 0, 1));
  };
  svg.onpointerleave = () => { mark = null; point(); };
  svg.onwheel = e => {
    if (e.ctrlKey || e.metaKey || e.shiftKey) zoom(e.deltaY + e.deltaX > 0 ? 1.25 : .8, part(e));
    else if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) pan(e.deltaX / svg.clientWidth);
    else return;
    e.preventDefault();
  };
  svg.ondblclick = reset;
  const to = i => { const of = one.drawn?.of ?? []; if (of.length) { mark = of[bound(i, 0, of.length - 1)].at; point(); } };
  const KEYS = {ArrowLeft: () => to(one.drawn.of.indexOf(nearest()) - 1), ArrowRight: () => to(one.drawn.of.indexOf(nearest()) + 1),
    PageUp: () => pan(-.5), PageDown: () => pan(.5), "+": () => zoom(.5), "-": () => zoom(2), Escape: () => { mark = null; reset(); },
    Home: () => { const {from, to: end, whole} = range(); look(whole[0], end - from); }, End: () => { view.to = null; show(); }};
  svg.onkeydown = e => {
    if (!KEYS[e.key] || !one.drawn) return;
    mark ??= one.drawn.of.at(-1)?.at ?? null; KEYS[e.key](); e.preventDefault();
  };
}

/* the line and the words of what is pointed at, in all charts */
function point() {
  for (const {svg, line, rest, drawn, nearest} of charts) {
    svg.querySelector(".mark")?.remove();
    if (mark === null || !drawn?.of.length) { if (line.innerHTML !== rest) line.innerHTML = rest; continue; }
    const q = nearest(), x = drawn.x(q);
    svg.insertAdjacentHTML("beforeend", `<line class="mark" x1="${x}" x2="${x}" y1="4" y2="${svg.clientHeight - 22}" stroke="var(--soft)" stroke-dasharray="3 3"/>`);
    line.textContent = drawn.read(q);
  }
}
function draw() {
  for (const one of charts) one.drawn = one.draw(shown(), one.svg, one.line) ?? one.drawn;
  point(); showRange();
}

/* buttons of the range: those that are longer than a few steps and shorter than all there is */
const SPANS = [60, 300, 900, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400];
function showRange() {
  const {from, to, whole: [first, last]} = range(), whole = last - first, box = $("ranges");
  const fits = SPANS.filter(s => s * 1000 > 8 * step() && s * 1000 < whole).slice(0, 5);
  const names = [...fits.map(s => unit(s)), "All"], spans = [...fits.map(s => s * 1000), whole];
  box.parentElement.hidden = !last;
  if (box.dataset.names !== names.join()) {
    box.dataset.names = names.join();
    box.replaceChildren(...names.map((name, i) => button(name, name === "All" ? "All there is" : "Last " + name, () => { view.to = null; look(last - spans[i], spans[i]); })));
  }
  [...box.children].forEach((b, i) => b.setAttribute("aria-pressed", view.span !== null && Math.abs(view.span - spans[i]) < 1));
  const days = to - from > 86400000;
  $("from").textContent = days ? when(from) + " to " + when(to) : when(from) + " to " + clock(to);
}
const unit = s => s < 3600 ? s / 60 + " min" : s < 86400 ? s / 3600 + " h" : s / 86400 + " d";
function button(text, label, onclick) { return Object.assign(document.createElement("button"), {textContent: text, ariaLabel: label, type: "button", onclick}); }

function frame(svg, lo, hi, label, rows = 4) {
  const w = svg.clientWidth, h = svg.clientHeight, right = 8 + 7.2 * Math.max(label(lo).length, label(hi).length);
  const y = v => 8 + (h - 32) * (1 - (v - lo) / (hi - lo || 1));
  const raw = (hi - lo) / rows, power = 10 ** Math.floor(Math.log10(raw || 1));
  const size = [1, 2, 2.5, 5, 10].map(m => m * power).find(v => v >= raw) || 1;
  let out = "";
  for (let v = Math.ceil(lo / size) * size; v <= hi; v += size)
    out += `<line x1="0" x2="${w - right}" y1="${y(v)}" y2="${y(v)}" stroke="var(--grid)"/><text x="${w - right + 6}" y="${y(v) + 4}">${label(v)}</text>`;
  return {w, h, right, y, out};
}
/* place of a question by its time */
function along(f, of, edge = 4) {
  const from = of[0].at, long = of.at(-1).at - from || 1;
  return q => edge + (q.at - from) / long * (f.w - f.right - 2 * edge);
}
function times(f, of, x) {
  const days = of.at(-1).at - of[0].at > 86400000, gap = days ? 150 : 110;
  let behind = -Infinity;
  return of.map((q, i) => { const at = x(i);
    if (at < gap / 3 || at > f.w - f.right - gap / 3 || at < behind + gap) return "";
    behind = at;
    return `<text x="${at}" y="${f.h - 6}" text-anchor="middle">${days ? when(q.at).slice(5, 16) : clock(q.at)}</text>`; }).join("");
}
function lines(svg, of, series, label) {
  const early = (of.at(-1)?.score?.answered ?? 0) >= 120 ? 30 : 0;  // the first scores are noise: not drawn later
  series = series.map(s => ({...s, of: q => (q.score?.answered ?? 0) < early ? null : s.of(q)}));
  const values = series.flatMap(s => of.map(s.of)).filter(known);
  if (!values.length || !svg.clientWidth) return;
  const low = Math.min(...values), high = Math.max(...values), pad = (high - low) * .12 || Math.abs(high) * .1 || .01;
  const f = frame(svg, low - pad, high + pad, label, 3), x = along(f, of);
  const path = s => { let pen = "M"; return of.map(q => { const v = s.of(q); if (!known(v)) { pen = "M"; return ""; }
    const part = pen + x(q) + " " + f.y(v); pen = "L"; return part; }).join(""); };
  const ends = series.map(s => of.map(s.of).filter(known).at(-1));
  const named = (s, i) => { if (!known(ends[i])) return ""; const below = series.length > 1 && ends[i] < ends[1 - i], y = f.y(ends[i]);
    return `<text class="label" x="${f.w - f.right - 6}" y="${below ? y + 16 : Math.max(12, y - 7)}" text-anchor="end" style="fill:${s.color};font-weight:600">${s.name}</text>`; };
  svg.innerHTML = f.out + series.map(s => `<path d="${path(s)}" fill="none" stroke="${s.color}" stroke-width="2" stroke-linejoin="round"${s.dash ? ' stroke-dasharray="5 4"' : ""}/>`).join("") +
    series.map(named).join("") + times(f, of, i => x(of[i]));
  const says = q => series.map(s => s.name + " " + (known(s.of(q)) ? label(s.of(q)) : "–")).join(", ");
  svg.setAttribute("aria-label", says(of.at(-1)));
  return {of, x, read: q => `${clock(q.at)} · ${says(q)}`};
}
