import { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

// useRedraw renders a component again when the size of an element or the color scheme changes. It
// returns the width of the element, and the number of these changes.
export function useRedraw(element: RefObject<HTMLElement | null>): { width: number; redraws: number } {
  const [state, setState] = useState({ width: 0, redraws: 0 });
  useLayoutEffect(() => {
    const changed = () => setState(({ redraws }) => ({ width: element.current!.clientWidth, redraws: redraws + 1 }));
    const observer = new ResizeObserver(changed);
    observer.observe(element.current!);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", changed);
    return () => { observer.disconnect(); dark.removeEventListener("change", changed); };
  }, []);
  return state;
}

// Colors are read from the style sheet, so that the canvas follows the dark and the light scheme.
export interface Colors { text: string; quiet: string; line: string; surface: string; raised: string; allow: string; deny: string; partly: string; accent: string; background: string }

export function colors(element: Element): Colors {
  const style = getComputedStyle(element);
  const value = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: value("text"), quiet: value("quiet"), line: value("line"), surface: value("surface"), raised: value("raised"),
    allow: value("allow"), deny: value("deny"), partly: value("partly"), accent: value("accent"), background: value("background"),
  };
}

// prepare sets the size of a canvas in CSS pixels, and clears it.
export function prepare(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = Math.min(devicePixelRatio || 1, height * width > 8e6 ? 1 : 2);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const c = canvas.getContext("2d")!;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  return c;
}

export function roundRect(c: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, radius: number) {
  c.beginPath();
  c.roundRect(x, y, width, height, radius);
}

// fit shortens a text until it fits into a width.
export function fit(c: CanvasRenderingContext2D, text: string, width: number): string {
  if (c.measureText(text).width <= width) return text;
  let n = text.length;
  while (n > 1 && c.measureText(`${text.slice(0, n)}…`).width > width) n--;
  return `${text.slice(0, n)}…`;
}
