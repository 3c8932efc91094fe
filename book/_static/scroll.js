// A figure or a table that is wider than the screen scrolls in its own box, and what
// scrolls must be within a keyboard's reach. The theme sees to code alone.
(function () {
  "use strict";

  function mark({ target: box }) {
    const hidden = box.scrollWidth - box.clientWidth;
    if (hidden > 0) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
    // Its right edge fades as long as there is more to see.
    box.classList.toggle("gatebook-more", box.scrollLeft + 1 < hidden);
  }

  const boxes = ["figure", "table", "div.math", "div.math > *", ".output.text_html"];
  const watch = new ResizeObserver((seen) => seen.forEach(mark));
  const wanted = boxes.map((box) => `.bd-article ${box}`).join(", ");
  document.querySelectorAll(wanted).forEach((box) => {
    watch.observe(box);
    box.addEventListener("scroll", () => mark({ target: box }), { passive: true });
  });

  // So does a formula within a line, if it has no place to break and no room.
  const formulas = document.querySelectorAll(".bd-article span.math");

  function fit() {
    const sizes = [...formulas].map((formula) => [
      formula.scrollWidth || formula.getBoundingClientRect().width,
      formula.parentElement.closest("p, li, td, th, dd, div").clientWidth,
    ]);
    formulas.forEach((formula, k) => {
      const wide = sizes[k][0] > sizes[k][1] + 1;
      formula.classList.toggle("gatebook-wide", wide);
      if (wide) formula.tabIndex = 0;
      else formula.removeAttribute("tabindex");
    });
  }

  document.fonts.ready.then(fit);
  window.addEventListener("resize", fit);
})();
