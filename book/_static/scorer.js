// How the search ranks: whose title was typed comes first.
var Scorer = (function () {
  /** The words of a title or a query, without a chapter's number and articles. */
  function words(text) {
    return text.toLowerCase().replace(/^\d+\.\s+/, "").split(/[^\p{L}\p{N}²-]+/u)
      .filter((word) => word && !["the", "a", "an", "of", "in"].includes(word));
  }

  /** What a page gets if its title has all that was typed, and more if that is all. */
  function bonus(title, typed) {
    const own = words(title);
    const all = typed.length > 0 && typed.every((word) => own.includes(word));
    if (!all) return 0;
    return own.length === typed.length ? 300 : 150;
  }

  return {
    objNameMatch: 11,
    objPartialMatch: 6,
    objPrio: { 0: 15, 1: 5, 2: -5 },
    objPrioDefault: 0,
    title: 60,
    partialTitle: 30,
    term: 5,
    partialTerm: 2,
    score: ([, title, anchor, description, score]) => {
      const typed = words(new URLSearchParams(location.search).get("q") ?? "");
      const page = !anchor && !description; // not a heading in it, nor a function
      return score + (page ? bonus(title, typed) : 0);
    },
  };
})();
