/* every payment's risk, those worth an alert marked */
{
const KEY = '<i class="key"></i>risk of each payment; marked are those worth an alert';
const {known, clock, percent} = rtml;

rtml.panel("Risk of the newest payments", KEY, (shown, svg) => {
  if (!svg.clientWidth) return null;
  const risk = q => Object.values(q.predictions)[0].probability, least = 1e-4;
  const scale = p => Math.log10(Math.max(p, least)), f = rtml.frame(svg, scale(least), 0, v => percent(10 ** v), 4);
  const x = rtml.along(f, shown, 6);
  svg.innerHTML = f.out + shown.map(q => { const alert = q.extra?.alert, p = risk(q);
    return `<circle cx="${x(q)}" cy="${f.y(scale(p))}" r="${alert ? 5 : 2.5}" fill="var(--${alert ? "bad" : "mine"})"/>`; }).join("") + rtml.times(f, shown, i => x(shown[i]));
  const last = shown.at(-1);
  svg.setAttribute("aria-label", `${shown.length} payments up to ${clock(last.at)}, ${shown.filter(q => q.extra?.alert).length} worth an alert`);
  svg.dataset.bars = shown.length; svg.dataset.end = last.at;
  return {of: shown, x, read: q => `${clock(q.at)} · risk ${(100 * risk(q)).toFixed(2)} %` + (q.extra?.alert ? " · alert" : "")};
});
}
