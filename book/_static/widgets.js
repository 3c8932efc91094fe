// Shows the widgets of a built page, without a kernel and also from a file.
//
// A page holds the widgets' state as JSON, as Jupyter saved it, and a marker where each
// one stood. This starts those made with anywidget: their module comes with the state,
// so nothing is fetched.
(function () {
  "use strict";

  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';

  /** The part of Jupyter's widget model that a module may use. */
  class Model {
    constructor(state) {
      this.state = { ...state };
      this.listeners = new Map();
    }

    get(name) {
      return this.state[name];
    }

    set(name, value) {
      const values = typeof name === "object" ? name : { [name]: value };
      const changed = Object.keys(values).filter((k) => this.state[k] !== values[k]);
      Object.assign(this.state, values);
      changed.forEach((k) => this.tell(`change:${k}`, values[k]));
      if (changed.length) this.tell("change");
    }

    save_changes() {} // there is no kernel to tell

    send() {}

    on(event, listener) {
      if (!this.listeners.has(event)) this.listeners.set(event, new Set());
      this.listeners.get(event).add(listener);
    }

    off(event, listener) {
      if (!event) this.listeners.clear();
      else if (!listener) this.listeners.delete(event);
      else this.listeners.get(event)?.delete(listener);
    }

    tell(event, ...values) {
      [...(this.listeners.get(event) ?? [])].forEach((f) => f(this, ...values));
    }
  }

  /** A function that remembers what it gave for each argument. */
  function once(make) {
    const made = new Map();
    return (key) => {
      if (!made.has(key)) made.set(key, make(key));
      return made.get(key);
    };
  }

  const styled = once((text) => {
    const sheet = document.createElement("style");
    sheet.textContent = text;
    document.head.append(sheet);
  });

  /** The definition in a module's source; one import however many views there are. */
  const imported = once(async (source) => {
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    try {
      const { default: found } = await import(address);
      return typeof found === "function" ? await found() : found;
    } finally {
      URL.revokeObjectURL(address);
    }
  });

  const initialized = once(async (model) => {
    const definition = await imported(model.get("_esm"));
    await definition.initialize?.({ model });
    return definition;
  });

  async function show(model, place) {
    if (!model?.get("_esm")) throw new Error("not a widget that runs without a kernel");
    if (model.get("_css")) styled(model.get("_css"));
    const definition = await initialized(model);
    await definition.render({ model, el: place });
  }

  /** Each widget on its own: one that fails leaves the others alone. */
  function start(marker, models) {
    const place = document.createElement("div");
    place.className = "widget-place";
    marker.before(place);
    return Promise.resolve()
      .then(() => show(models.get(JSON.parse(marker.textContent).model_id), place))
      .catch((error) => {
        console.error("widget:", error);
        place.textContent =
          "This interactive figure could not be started. The text and the figures " +
          "beside it say the same.";
      });
  }

  /** The page has its pictures, and the theme has folded what it folds. */
  function loaded() {
    if (document.readyState === "complete") return Promise.resolve();
    return new Promise((done) => addEventListener("load", done, { once: true }));
  }

  /** Widgets have moved the place that the address names, unless the reader has. */
  function stay() {
    let moved = false;
    const ways = ["wheel", "touchmove", "keydown", "pointerdown"];
    ways.forEach((way) => addEventListener(way, () => (moved = true), { once: true }));
    const place = () => {
      const id = decodeURIComponent(location.hash.slice(1));
      if (!moved) document.getElementById(id)?.scrollIntoView({ behavior: "instant" });
    };
    // The browser may be gliding to where the place was, and go on from here.
    return () => [0, 100, 400].forEach((wait) => setTimeout(place, wait));
  }

  function main() {
    const back = stay();
    const models = new Map();
    for (const { textContent } of document.querySelectorAll(STATE)) {
      const states = Object.entries(JSON.parse(textContent).state);
      states.forEach(([id, { state }]) => models.set(id, new Model(state)));
    }
    const markers = [...document.querySelectorAll(VIEW)];
    const started = markers.map((marker) => start(marker, models));
    Promise.all([...started, loaded(), document.fonts.ready]).then(back);
  }

  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", main);
  } else {
    main();
  }
})();
