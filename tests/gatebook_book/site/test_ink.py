"""Figures take the ink of the page's scheme."""

import re
import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import yaml
from gatebook_book.figures import plots
from gatebook_book.figures.narrow import both_forms
from gatebook_book.paths import root
from gatebook_book.site import ink
from matplotlib.colors import to_rgb


def light(colour, lift=1.0):
    """Relative luminance, WCAG 2, of a colour whose brightness is lifted."""
    c = [min(1.0, lift * part) for part in to_rgb(colour)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in c]
    return sum(w * x for w, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_ink_stands_out_on_both_schemes():
    css = (root() / "book/_static/book.css").read_text()
    lift = float(re.search(r"filter: brightness\(([\d.]+)\)", css)[1])
    assert 1.05 / (light(ink.LIGHT) + 0.05) > 7
    for lifted in (1.0, lift):  # a photo is not lifted
        assert (light(ink.DARK, lifted) + 0.05) / (light("#121212") + 0.05) > 4.5


def test_a_figure_has_an_ink_for_each_scheme():
    with plt.rc_context():
        plots.use_house_style()
        figure, ax = plt.subplots(figsize=(3, 2))
        ax.plot([0, 1], color=plots.COLOURS["UR"])
        made = ink.inked(both_forms(figure))
        plt.close(figure)
    assert ET.fromstring(made).get("id") == "dark"
    assert plots.INK not in made and "var(--ink)" in made
    assert plots.COLOURS["UR"].lower() in made
    assert ink.inked(made) == made


def test_a_file_without_ink_stays_as_it_is():
    assert ink.inked("<svg><path/></svg>") == "<svg><path/></svg>"


def test_the_book_has_the_extension_and_its_script():
    config = yaml.safe_load((root() / "_config.yml").read_text())["sphinx"]
    assert "gatebook_book.site.ink" in config["config"]["extensions"]
    scripts = [name for name, _ in config["config"]["html_js_files"]]
    assert "ink.js" in scripts and (root() / "book/_static/ink.js").exists()
