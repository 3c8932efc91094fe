// A figure that is wider than the screen scrolls in its own box, and what scrolls must
// be within a keyboard's reach. The theme sees to code and tables; these are figures.
(function () {
  "use strict";

  function mark({ target: figure }) {
    if (figure.scrollWidth > figure.clientWidth) figure.tabIndex = 0;
    else figure.removeAttribute("tabindex");
  }

  const watch = new ResizeObserver((seen) => seen.forEach(mark));
  for (const figure of document.querySelectorAll(".bd-article figure"))
    watch.observe(figure);
})();
