// Start: fill the controls, draw, and connect what the reader does.
const views = { flow: flowView, rows: rowsView, known: knownView, attribution: attributionView, map: mapView, layers: layersView, pruning: pruningView, neurons: neuronsView, links: linksView, method: methodView };
const fresh = new Set();
function open(id) {
  for (const tab of byId("tabs").children) {
    const chosen = tab.getAttribute("aria-controls") === id;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (id === "network") fit();
  else if (!fresh.has(id)) { fresh.add(id); views[id](); }
  if (id === "flow") showPicked();
  detail();
  remember();
}
// Now if the view is open, else when it is opened.
function drawAgain(id) {
  fresh.delete(id);
  if (!byId(id).hidden) open(id);
}
byId("tabs").addEventListener("click", (event) => { if (event.target.role === "tab") open(event.target.getAttribute("aria-controls")); });
byId("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], tabs = [...byId("tabs").children].filter((tab) => !tab.hidden);
  if (!step) return;
  const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
  next.focus(); open(next.getAttribute("aria-controls"));
});

const slider = byId("share");
function showLinks(number) {
  state.shown = number;
  byId("shown").textContent = `${count(number)} of ${count(linkCount)} links, ${share(shareOf(number))} of ${currents ? "the absolute currents" : state.chosen < 0 ? "all information" : "this class"}`;
}
function atStart() {
  const number = Math.min(6000, linksFor(1));
  slider.value = String(number < linksFor(1) ? Math.floor(1000 * shareOf(number)) : 1000);
  showLinks(number);
}
slider.addEventListener("input", () => { showLinks(linksFor(slider.value / 1000)); requestAnimationFrame(redraw); });
slider.addEventListener("change", remember);

function choose(chosen) {
  state.chosen = chosen;
  byId("class").value = String(chosen);
  weigh(); atStart();
  drawAgain("attribution");
  pin(state.pinned);
  if (!byId("network").hidden) redraw();
}
byId("class").replaceWith(classSelect("class"));
if (currents) {
  byId("class").parentElement.hidden = true; // the links are those of all classes together
  byId("size").replaceChildren(...[["current", "current"], ["absolute", "absolute current"], ["betweenness", meta.central]].map(([value, text]) => element("option", { value, text })));
  byId("colour").parentElement.hidden = false;
} else byId("size").options[0].text = meta.central;
byId("colour").addEventListener("change", (event) => { state.colour = event.target.value; detail(); redraw(); remember(); });
byId("size").addEventListener("change", (event) => { state.size = event.target.value; weigh(); redraw(); remember(); });
byId("hide").addEventListener("change", (event) => { state.hide = event.target.checked; redraw(); remember(); });
byId("removed").addEventListener("change", (event) => { state.removed = event.target.checked; redraw(); });
byId("in").addEventListener("click", () => zoom(1.4));
byId("out").addEventListener("click", () => zoom(1 / 1.4));
byId("fit").addEventListener("click", fit);

const MOST_FOUND = 8;
function search(text) {
  // The very name first, then names that begin with it, then those that hold it.
  const wanted = text.trim().toLowerCase(), ranks = [[], [], []];
  for (let u = 0; wanted && u < units; u++) {
    const name = nameOf(u).toLowerCase(), at = name.indexOf(wanted);
    if (at >= 0) ranks[name === wanted ? 0 : at === 0 ? 1 : 2].push(u);
  }
  const list = ranks.flat().slice(0, MOST_FOUND);
  const none = wanted && !list.length ? [element("span", { class: "note", text: "no such neuron" })] : [];
  byId("found").replaceChildren(...none, ...list.map((u) => element("button", { type: "button", class: "name", text: `${clipped(nameOf(u), 50)} · ${clipped(layerName(u), 20)}`, onclick: () => showFound(u) })));
  return list;
}
function showFound(u) {
  byId("found").replaceChildren();
  if (state.hide && unit.silent[u]) { state.hide = false; byId("hide").checked = false; }
  pin(u);
  if (sx(u) < 0 || sx(u) > view.width || sy(u) < TITLE || sy(u) > view.height) {
    view.x += view.width / 2 - sx(u); view.y += view.height / 2 - sy(u); redraw();
  } else redraw();
}
byId("find").addEventListener("input", (event) => search(event.target.value));
byId("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { const list = search(event.target.value); if (list.length) showFound(list[0]); }
  if (event.key === "Escape") byId("found").replaceChildren();
});

function theme(name) {
  document.documentElement.dataset.theme = name;
  fresh.clear();
  for (const id of Object.keys(views)) if (!byId(id).hidden) open(id);
  detail();
  if (!byId("network").hidden) redraw();
}
byId("theme").addEventListener("click", () => theme(dark() ? "light" : "dark"));

byId("title").textContent = printable(meta.title);
byId("headline").textContent = printable(meta.headline);
byId("summary").textContent = meta.summary;
for (const [id, shown] of [["flow", meta.sankey], ["rows", meta.examples], ["known", meta.known]]) byId(`tab-${id}`).hidden = !shown;
for (const folded of document.querySelectorAll(".controls")) folded.open = !matchMedia("(max-width: 800px)").matches;
const preferred = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.documentElement.dataset.theme = preferred();
// Paper is light. A canvas that is drawn anew before printing is blank on paper, a copy of it is not.
let screenTheme = preferred();
const sheet = element("canvas", { class: "sheet" });
addEventListener("beforeprint", () => {
  screenTheme = document.documentElement.dataset.theme; theme("light");
  sheet.width = base.width; sheet.height = base.height;
  for (const drawn of [base, over]) sheet.getContext("2d").drawImage(drawn, 0, 0);
  picture.append(sheet);
});
addEventListener("afterprint", () => { sheet.remove(); theme(screenTheme); });
weigh(); atStart(); detail();
for (const [name, id] of Object.entries(CONTROLS)) begun[name] = byId(id).value;
begun.links = slider.value;
recall();
addEventListener("hashchange", recall);
new ResizeObserver(() => { if (!sheet.isConnected && picture.clientWidth && (picture.clientWidth !== view.width || picture.clientHeight !== view.height)) fit(); }).observe(picture);
performance.mark("drawn");
