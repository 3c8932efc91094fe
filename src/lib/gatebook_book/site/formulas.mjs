// Sets TeX as HTML: [[text, display], …] comes in on standard input, and
// {html: […], css: "…"} goes out. The first argument is MathJax's folder, the second
// where the style sheet finds its fonts.
import { createRequire } from "node:module";
import { readFileSync, writeSync } from "node:fs";

const [folder, fonts] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const MathJax = await require(`${folder}/node-main.js`).init({
  loader: {
    load: ["input/tex-full", "output/chtml", "adaptors/liteDOM", "a11y/assistive-mml"],
  },
  // Letters as large as the text's: by height alone they come out a fifth larger.
  chtml: { fontURL: fonts, adaptiveCSS: false, matchFontHeight: false, scale: 1.06 },
  startup: { typeset: false },
});

const adaptor = MathJax.startup.adaptor;
const set = ([tex, display]) => adaptor.outerHTML(MathJax.tex2chtml(tex, { display }));
const html = JSON.parse(readFileSync(0, "utf8")).map(set);
const css = adaptor.textContent(MathJax.chtmlStylesheet());
const answer = Buffer.from(JSON.stringify({ html, css }));
for (let sent = 0; sent < answer.length; ) sent += writeSync(1, answer, sent);
