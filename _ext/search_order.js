// How the search of the site scores what it finds. Entries of the index score up to 100, words of a
// text up to 15, names of the package up to 26. A chapter that the index names goes before the
// glossary, which names the same word; one with the word in its text before pages of the package
// that hold it in theirs. All other results stay as Sphinx has them.
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
    docname.startsWith("notebooks/") ? score + (score >= 50 ? 100 : 10) : score,
};
