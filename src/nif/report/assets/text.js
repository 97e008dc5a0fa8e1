// Numbers and names as a reader sees them. Names only ever become text nodes.
const state = { chosen: -1, size: "betweenness", shown: 0, hide: false, removed: false, pinned: -1, hover: -1, path: [] };
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value;
    else if (name === "onclick") made.addEventListener("click", value);
    else if (name === "style") Object.assign(made.style, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
// What may be wider than the page scrolls by itself, also with the keys.
function scroller(label, child) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, child);
}
function clipped(name, most = 80) {
  const line = name.replace(/\s+/g, " ");
  return line.length > most ? line.slice(0, most - 1) + "…" : line || "(no name)";
}
const nats = (value) => (value === 0 ? "0" : Math.abs(value) < 0.0005 ? value.toExponential(1) : value.toFixed(3));
const chance = (p) => (p < 0.0001 ? "< .0001" : p.toFixed(p < 0.01 ? 4 : 3).replace(/^0/, ""));
const share = (value) => (value * 100).toFixed(value < 0.1 ? 2 : 1) + " %";
const count = (value) => value.toLocaleString("en");
const big = (value) => (value >= 100 ? count(Math.round(value)) : Number(value.toPrecision(3)).toString());
const interval = (value, error) => `${nats(Math.max(0, value - 1.96 * error))} to ${nats(Math.max(0, value + 1.96 * error))}`;
// Three digits of the upper end, and as many decimals for the others.
function withInterval(value, low, high) {
  const decimals = high > 0 ? Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(high)))) : 0;
  if (decimals > 6 || high >= 1e7) return `${value.toExponential(1)} (${low.toExponential(1)} to ${high.toExponential(1)})`;
  return `${value.toFixed(decimals)} (${low.toFixed(decimals)} to ${high.toFixed(decimals)})`;
}
const communityText = (label) => (label < 0 ? "none" : String(label));

const dark = () => document.documentElement.dataset.theme === "dark";
function colourOf(label) {
  const palette = dark() ? meta.palette.dark : meta.palette.light;
  return label >= 0 && label < palette.length ? palette[label] : meta.palette.other;
}
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
