// Numbers and names as a reader sees them. Names only ever become text nodes.
const state = { chosen: -1, size: currents ? "current" : "betweenness", colour: currents ? "sign" : "community", shown: 0, hide: false, removed: false, pinned: -1, hover: -1, path: [], paths: { measured: [], into: [], out: [] } };
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = printable(value);
    else if (name === "onclick") made.addEventListener("click", value);
    else if (name === "style") Object.assign(made.style, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
// Control characters, and marks that turn the direction of text, as their escapes; joiners are part of words.
const printable = (text) => String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (letter) => ("\u200c\u200d".includes(letter) ? letter : `\\u{${letter.codePointAt(0).toString(16)}}`));
// What may be wider than the page scrolls by itself, also with the keys.
function scroller(label, child) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, child);
}
function clipped(name, most = 80) {
  const line = printable(name.replace(/\s+/g, " "));
  const end = Math.floor(most / 3); // where names of one kind differ, such as relu[7] and relu[8]
  return line.length > most ? `${line.slice(0, most - 1 - end)}…${line.slice(line.length - end)}` : line || "(no name)";
}
const minus = (text) => text.replace(/^-/, "−");
const nats = (value) => shownNumber(inUnit(value));
const shownNumber = (value) => (value === 0 ? "0" : minus(Math.abs(value) < 0.0005 ? value.toExponential(1) : value.toFixed(3)));
// With its standard error, both to the digits that the error leaves.
function measured(value, error) {
  if (error === null || error === undefined) return nats(value);
  [value, error] = [inUnit(value), inUnit(error)];
  const decimals = error > 0 ? Math.min(6, Math.max(3, 1 - Math.floor(Math.log10(error) + 1e-6))) : 3;
  return minus(`${value.toFixed(decimals)} ± ${error.toFixed(decimals)}`);
}
const chance = (p) => (p < 0.0001 ? "< .0001" : p.toFixed(p < 0.01 ? 4 : 3).replace(/^0/, ""));
// To the digits that its standard error leaves, where that is known.
const digitsOf = (value, error) => (error > 0 ? (error >= 0.0095 ? 0 : error >= 0.00095 ? 1 : 2) : Math.abs(value) < 0.1 ? 2 : 1);
const percents = (value, digits) => minus((value * 100).toFixed(digits).replace(/^-(0(\.0+)?)$/, "$1"));
const share = (value, error = 0) => `${percents(value, digitsOf(value, error))} %`;
const ofTotal = (value, error) => (currents.total ? share(value / currents.total, error / Math.abs(currents.total)) : "");
function ofTotalWithError(value, error) {
  if (!currents.total || !(error > 0)) return ofTotal(value, error);
  const [part, around] = [value / currents.total, error / Math.abs(currents.total)], digits = digitsOf(part, around);
  return `${percents(part, digits)} ± ${percents(around, digits)} %`;
}
const thousands = new Intl.NumberFormat("en"), count = (value) => thousands.format(value);
const big = (value) => (value >= 100 ? count(Math.round(value)) : Number(value.toPrecision(3)).toString());
// Of currents by Student's t; of association nothing below 0.
const ends = (value, error) => [-1, 1].map((sign) => value + sign * meta.deviations * error).map((end) => (currents ? end : Math.max(0, end)));
const interval = (value, error) => ends(value, error).map(nats).join(" to ");
// Three digits of the upper end, and as many decimals for the others.
function withInterval(value, low, high) {
  [value, low, high] = [value, low, high].map(inUnit);
  const most = Math.max(Math.abs(low), Math.abs(high));
  const decimals = most > 0 ? Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(most)))) : 0;
  const [a, b, c] = [value, low, high].map((number) => minus(number.toFixed(decimals)));
  return `${a} (${b} to ${c})`;
}
const communityText = (label) => (label < 0 ? "none" : String(label));

const dark = () => document.documentElement.dataset.theme === "dark";
function colourOf(label) {
  const palette = dark() ? meta.palette.dark : meta.palette.light;
  return label >= 0 && label < palette.length ? palette[label] : meta.palette.other;
}
// The colours of units and links: communities, or for and against the decision.
const bySign = () => state.colour === "sign";
function tones() {
  if (bySign()) return dark() ? meta.palette.signs_dark : meta.palette.signs;
  return [...(dark() ? meta.palette.dark : meta.palette.light), meta.palette.other];
}
function toneOf(value, label) {
  if (bySign()) return value < 0 ? 1 : 0;
  const last = meta.palette.light.length;
  return label >= 0 && label < last ? label : last;
}
const unitTone = (u) => toneOf(currents && unit.current[u], unit.community[u]);
const linkTone = (e) => toneOf(link.nats[e], unit.community[link.source[e]]);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
