// What the words of the page mean, said where they are met.
const WORDS = {
  current: "Information that flows through a unit or link to the decision: above 0 it speaks for the decision, below 0 against it. The currents of a layer sum to the total.",
  absolute: "Mean over rows of the current without its sign. It is large where a unit speaks for the decision on some rows and against it on others.",
  throughput: "Share of the sum over all paths from features to classes that passes through the unit.",
  betweenness: "Number of pairs of units whose shortest path passes through the unit; a link is the shorter, the more information it carries. A bottleneck has much of it.",
  community: "A group of units that share more information with one another than chance would give (Leiden's algorithm); 0 is the largest.",
  modularity: "How clear the communities are: 0 is no better than chance, 1 is the maximum.",
  silent: currents ? "The mean absolute current is shown to be below 0.1 % of the total." : "No information was detected: the p-values of its links in, or of those out, are what chance gives.",
  p: "Chance of such a number, or a larger one, if nothing flowed. Small is significant, which is not the same as important.",
  q: "The p-value, adjusted for the number of units: of those below .05, at most 5 % on average carry nothing.",
};
function words(...names) {
  const terms = names.map((name) => [name, WORDS[name]]).filter(([, text]) => text);
  return element("details", { class: "words" }, element("summary", { text: "What these words mean" }),
    element("dl", {}, ...terms.flatMap(([name, text]) => [element("dt", { text: name }), element("dd", { text })])));
}
function openWords(...names) {
  const made = words(...names);
  made.open = true;
  return made;
}
const wordsOfUnits = () => (currents ? words("current", "absolute", "betweenness", "community", "silent", "p", "q") : words("throughput", "betweenness", "community", "silent", "p", "q"));
