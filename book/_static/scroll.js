// A figure or a table that is wider than the screen scrolls in its own box, and what
// scrolls must be within a keyboard's reach. The theme sees to code alone.
(function () {
  "use strict";

  function mark({ target: box }) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }

  const boxes = ["figure", "table", "div.math", ".output.text_html"];
  const watch = new ResizeObserver((seen) => seen.forEach(mark));
  const wanted = boxes.map((box) => `.bd-article ${box}`).join(", ");
  document.querySelectorAll(wanted).forEach((box) => watch.observe(box));
})();
