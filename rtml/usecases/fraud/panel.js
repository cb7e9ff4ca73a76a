/* every payment's risk, those worth an alert marked */
{
const KEY = '<i class="key"></i>risk of each payment, newest right; marked are those worth an alert';
const {known, clock, percent} = rtml;

rtml.panel("Risk of the newest payments", KEY, (questions, svg, line) => {
  const width = svg.clientWidth, shown = questions.slice(-Math.max(40, Math.floor(width / 5)));
  if (!shown.length || !width) return;
  const risk = q => Object.values(q.predictions)[0].probability, least = 1e-4;
  const scale = p => Math.log10(Math.max(p, least)), f = rtml.frame(svg, scale(least), 0, v => percent(10 ** v), 4);
  const x = i => 6 + i * (f.w - f.right - 12) / Math.max(1, shown.length - 1);
  svg.innerHTML = f.out + shown.map((q, i) => { const alert = q.extra?.alert, p = risk(q);
    return `<circle cx="${x(i)}" cy="${f.y(scale(p))}" r="${alert ? 5 : 2.5}" fill="var(--${alert ? "bad" : "mine"})"/>`; }).join("") + rtml.times(f, shown, x);
  const last = shown.at(-1);
  svg.setAttribute("aria-label", `${shown.length} payments up to ${clock(last.at)}, ${shown.filter(q => q.extra?.alert).length} worth an alert`);
  svg.dataset.bars = shown.length; svg.dataset.end = last.at;
  svg.onpointermove = e => { const q = shown[Math.min(shown.length - 1, Math.max(0, Math.round((e.offsetX - 6) / (f.w - f.right - 12) * (shown.length - 1))))];
    line.textContent = `${clock(q.at)} · risk ${(100 * risk(q)).toFixed(2)} %` + (q.extra?.alert ? " · alert" : ""); };
  svg.onpointerleave = () => { line.innerHTML = KEY; };
});
}
