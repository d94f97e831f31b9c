// How the search of the site scores what it finds. Entries of the index score up to 100, words of a
// text up to 15. A chapter that the index names goes before the glossary, which names the same word;
// all other results stay as Sphinx has them.
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  score: ([docname, , , , score]) =>
    docname.startsWith("notebooks/") && score >= 50 ? score + 100 : score,
};
