// What the page is made of: elements, tables, the diagram of states, the chart of the last hour.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

// Makes an element; text is always text, never markup.
function element(name, attributes = {}, ...children) {
  const space = ["svg", "g", "rect", "path", "line", "text", "title", "polygon"].includes(name);
  const made = space ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Makes a table, whose rows a narrow window shows as cards; the roles are said because that takes them away. A column is a title, a cell's contents, and its class.
function table(caption, columns, rows, nothing) {
  if (rows.length === 0) return element("p", { class: "note" }, nothing);
  const cell = (name, attributes, column, content) =>
    element(name, column.class ? { ...attributes, class: column.class } : attributes, content);
  return element(
    "table",
    { role: "table" },
    caption ? element("caption", {}, caption) : null,
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...columns.map((column) => cell("th", { scope: "col", role: "columnheader" }, column, column.title)))),
    element(
      "tbody",
      { role: "rowgroup" },
      ...rows.map((row) => element("tr", { role: "row" }, ...columns.map((column) => cell("td", { role: "cell", "data-title": column.title }, column, column.of(row) ?? "")))),
    ),
  );
}

const PLACES = {
  Received: [20, 110],
  Created: [245, 110],
  PodStarted: [470, 110],
  Completed: [700, 15],
  Failed: [700, 110],
  Exception: [700, 205],
};
const BOX = { width: 130, height: 62 };

// Draws the table of transitions: a box a state, a line a way between two.
function diagram(states, ways, counts) {
  const picture = element("svg", { viewBox: "0 0 850 300", role: "img" });
  const words = states.map((state) => `${state} ${counts[state] ?? 0}`).join(", ");
  picture.append(element("title", {}, `Tasks by state: ${words}`));
  for (const way of ways.filter((way) => PLACES[way.from] && PLACES[way.to])) picture.append(line(way));
  for (const state of states) {
    const [x, y] = PLACES[state];
    picture.append(
      element(
        "g",
        {},
        element("rect", { class: "box", x, y, width: BOX.width, height: BOX.height, rx: 6 }),
        element("text", { x: x + 12, y: y + 20 }, state),
        element("text", { class: "count", x: x + 12, y: y + 48 }, String(counts[state] ?? 0)),
      ),
    );
  }
  return picture;
}

function line(way) {
  const [from, to] = [PLACES[way.from], PLACES[way.to]];
  const start = [from[0] + BOX.width, from[1] + BOX.height / 2];
  const end = [to[0] - 8, to[1] + BOX.height / 2];
  const columns = Math.round((to[0] - from[0]) / 225);
  const side = to[1] > from[1] ? 1 : -1;
  // A way that passes other boxes goes around them: above, or below where it leads down.
  const bend = columns > 1 ? side * (to[1] === from[1] ? 95 : 70 * (columns - 1)) : 0;
  const reach = (end[0] - start[0]) / 3;
  const points = [start, [start[0] + reach, start[1] + bend], [end[0] - reach, end[1] + bend / (to[1] === from[1] ? 1 : 3)], end];
  const gone = way.count > 0 ? " gone" : "";
  const middle = along(points, columns > 1 && bend < -80 ? 0.78 : 0.5);
  const head = [end, [end[0] - 4, end[1] - 4], [end[0] + 6, end[1]], [end[0] - 4, end[1] + 4]];
  return element(
    "g",
    {},
    element("title", {}, `${way.from} to ${way.to} on ${way.events.join(", ")}: ${way.count} in the last hour`),
    element("path", { class: `way${gone}`, d: `M${points[0]} C${points[1]} ${points[2]} ${points[3]}` }),
    element("polygon", { class: `head${gone}`, points: head.slice(1).join(" ") }),
    way.count > 0 ? element("text", { class: "soft", x: middle[0], y: middle[1] - 5, "text-anchor": "middle" }, String(way.count)) : null,
  );
}

// The point of a curve at a part of its way.
function along(points, part) {
  const rest = 1 - part;
  const weights = [rest ** 3, 3 * rest ** 2 * part, 3 * rest * part ** 2, part ** 3];
  return [0, 1].map((axis) => points.reduce((sum, point, index) => sum + weights[index] * point[axis], 0));
}

const ENDS = ["completed", "failed", "exception"];

// Draws the ends of each minute, stacked, and a mark for the messages taken; as wide as its place, so that letters keep their size.
function chart(minutes, place) {
  const [width, height, left, bottom] = [Math.max(300, place), 190, 54, 22];
  const most = Math.max(1, ...minutes.map((minute) => Math.max(minute.taken, ends(minute))));
  const step = (width - left) / minutes.length;
  const tall = (count) => (count / most) * (height - bottom - 12);
  const sum = (name) => minutes.reduce((total, minute) => total + minute[name], 0);
  const picture = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  const words = ["taken", ...ENDS].map((name) => `${sum(name)} ${name}`).join(", ");
  picture.append(element("title", {}, `In the last hour: ${words}`));
  const ground = height - bottom;
  picture.append(element("line", { class: "axis", x1: left, x2: width, y1: ground, y2: ground }));
  picture.append(element("text", { class: "soft", x: left - 6, y: 18, "text-anchor": "end" }, String(most)));
  picture.append(element("text", { class: "soft", x: left - 6, y: ground, "text-anchor": "end" }, "0"));
  minutes.forEach((minute, index) => {
    const x = left + index * step;
    let y = ground;
    for (const name of ENDS) {
      const size = tall(minute[name]);
      if (size > 0) {
        y -= size;
        picture.append(element("rect", { class: name, x: x + 1, y, width: Math.max(2, step - 3), height: size }));
      }
    }
    if (minute.taken > 0) {
      picture.append(element("rect", { class: "taken", x, y: ground - tall(minute.taken) - 1, width: step - 1, height: 2 }));
    }
    if (index % 15 === 0) {
      const time = new Date(minute.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      picture.append(element("text", { class: "soft", x, y: height - 6 }, time));
    }
  });
  return picture;
}

function ends(minute) {
  return ENDS.reduce((total, name) => total + minute[name], 0);
}

// The colours of the chart, in words.
function legend(minutes) {
  return ["taken", ...ENDS].map((name) => {
    const sum = minutes.reduce((total, minute) => total + minute[name], 0);
    return element("li", {}, element("i", { class: name }), `${name} ${sum}`);
  });
}

// A span of time, in the largest unit that leaves a number to read.
function span(ms) {
  const units = [["d", 86400000], ["h", 3600000], ["min", 60000], ["s", 1000]];
  for (const [name, size] of units) {
    if (ms >= 2 * size) return `${Math.floor(ms / size)} ${name}`;
  }
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`;
}
