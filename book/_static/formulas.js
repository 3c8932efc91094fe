// Has MathJax set the formulas in sight first, and the others a moment later: a long
// page has hundreds. Runs between MathJax's settings and MathJax itself.
(function () {
  "use strict";

  // Letters as large as the text's: by height alone they come out a fifth larger.
  window.MathJax = { ...window.MathJax, chtml: { matchFontHeight: false, scale: 1.06 } };

  // Who goes to a place inside the page needs all of it to have its height at once.
  const [visit] = performance.getEntriesByType("navigation");
  if (location.hash || visit?.type !== "navigate") return;

  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work));

  /** All of them, for screen readers, printing and searching in the page. */
  function others() {
    // Those in sight are set when the browser is idle, too: they get a start.
    setTimeout(() => idle(() => MathJax.startup.document.lazyTypesetAll()), 1000);
  }

  window.MathJax = {
    ...window.MathJax,
    loader: { load: ["ui/lazy"] },
    startup: { pageReady: () => MathJax.startup.defaultPageReady().then(others) },
  };
})();
