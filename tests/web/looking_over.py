"""Looks a page over as a careful reader would: labels, names, headings, contrast, room. Runs in the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SCRIPT: Final = r"""
() => {
  const wrong = [];
  const say = (what, element) => wrong.push(`${what}: ${element.outerHTML.slice(0, 160)}`);
  const visible = (element) => {
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    return box.width > 1 && box.height > 1 && style.visibility !== "hidden" && style.display !== "none"
      && element.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true });
  };
  const named = (element) => (element.getAttribute("aria-label") || element.textContent || element.title || "").trim()
    || Array.from(element.querySelectorAll("img[alt]")).some((image) => image.alt);

  if (!document.documentElement.lang) wrong.push("no language");
  if (!document.title.trim()) wrong.push("no title");
  if (document.querySelectorAll("h1").length < 1) wrong.push("no heading of the first level");
  if (!document.querySelector("main")) wrong.push("no main");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!(field.labels && field.labels.length) && !field.getAttribute("aria-label")) say("no label", field);
  for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) say("no alt", image);
  for (const one of document.querySelectorAll("a[href], button, summary"))
    if (visible(one) && !named(one)) say("no name", one);
  for (const head of document.querySelectorAll("th")) if (!head.scope) say("no scope", head);
  const ids = Array.from(document.querySelectorAll("[id]"), (element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) wrong.push(`id twice: ${id}`);
  for (const element of document.querySelectorAll("*"))
    for (const attribute of element.attributes)
      if (/^on/i.test(attribute.name) || attribute.name === "style") say("inline", element);
  for (const link of document.querySelectorAll("[href]"))
    if (!/^(\/|#)/.test(link.getAttribute("href"))) say("leads elsewhere", link);

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const seen = new Map();
  const rgba = (text) => {
    if (!seen.has(text)) {
      canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      seen.set(text, [r, g, b, a / 255]);
    }
    return seen.get(text);
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const done = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || done.has(element)) continue;
    if (element.closest("svg") || !visible(element)) continue;
    done.add(element);
    const style = getComputedStyle(element);
    const back = ground(element);
    const front = over(rgba(style.color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight, 10) >= 700) ? 3 : 4.5;
    if (ratio < needed) say(`contrast ${ratio.toFixed(2)} on ${back.slice(0, 3).map(Math.round)}`, element);
  }
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) wrong.push(`wider than the window: ${scrollWidth} > ${clientWidth}`);
  return wrong;
}
"""


def looked_over(page: Page) -> list[str]:
    """Give what is wrong with a page."""
    found: Any = page.evaluate(_SCRIPT)
    return list(found)
