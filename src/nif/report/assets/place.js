// What the reader sees is in the fragment of the address, so that a link leads back to it.
const CONTROLS = { size: "size", colour: "colour", ribbons: "ribboncolour", wide: "wide" };
const viewNow = () => [...byId("tabs").children].find((tab) => tab.getAttribute("aria-selected") === "true").getAttribute("aria-controls");
const begun = {};
function remember() {
  const kept = new URLSearchParams({ view: viewNow() });
  if (state.pinned >= 0) kept.set("unit", state.pinned);
  if (state.chosen >= 0) kept.set("class", state.chosen);
  for (const [name, id] of Object.entries(CONTROLS)) if (byId(id).value !== begun[name]) kept.set(name, byId(id).value);
  if (byId("share").value !== begun.links) kept.set("links", byId("share").value);
  if (state.hide) kept.set("hide", 1);
  if (flowState.opened.size) kept.set("opened", [...flowState.opened].join(" "));
  try { history.replaceState(null, "", "#" + kept); } catch { /* a frame of a notebook has no address of its own */ }
}
// As at the start of the page, then as the fragment says; what does not exist is left out.
function recall() {
  const kept = new URLSearchParams(location.hash.slice(1)), whole = (name, below) => { const value = Number(kept.get(name)); return kept.has(name) && Number.isInteger(value) && value >= 0 && value < below ? value : -1; };
  for (const [name, id] of Object.entries(CONTROLS)) {
    const select = byId(id), known = [...select.options].some(({ value }) => value === kept.get(name));
    if (known) { select.value = kept.get(name); select.dispatchEvent(new Event("change")); }
  }
  for (const key of (kept.get("opened") || "").split(" ").filter((text) => /^[rc][\d.+-]{1,40}$/.test(text))) flowState.opened.add(key);
  if (whole("class", labels.length) >= 0) choose(whole("class", labels.length));
  if (whole("links", 1001) >= 0) { byId("share").value = kept.get("links"); showLinks(linksFor(byId("share").value / 1000)); }
  if (kept.has("hide")) { state.hide = true; byId("hide").checked = true; }
  const tab = [...byId("tabs").children].find((one) => one.getAttribute("aria-controls") === kept.get("view") && !one.hidden);
  open(tab ? kept.get("view") : meta.sankey ? "flow" : "network");
  if (whole("unit", units) >= 0) pin(whole("unit", units));
}
