import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ReachMap } from "./api";
import { colors, fit, prepare, useRedraw } from "./canvas";
import { labelOf, verdict } from "./common";

// The sizes are in CSS pixels.
const CELL = 24, LEFT = 210, TOP = 150;

interface Props { map: ReachMap; namespaces: string[]; ask: (from: string, to: string) => void }

// Matrix shows one cell for each pair of workloads. It draws only the visible cells.
export function Matrix({ map, namespaces, ask }: Props) {
  const rows = useMemo(() => map.workloads.flatMap((w, i) => (namespaces.includes(w.namespace) ? [i] : [])), [map, namespaces]);
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const [moved, setCursor] = useState({ row: 0, column: 0 });
  // The number of rows can be smaller than when the user moved the cursor.
  const limit = (n: number) => Math.max(0, Math.min(rows.length - 1, n));
  const cursor = { row: limit(moved.row), column: limit(moved.column) };
  useRedraw(frame);

  const paint = () => {
    const box = frame.current;
    if (!box) return;
    const width = Math.min(box.clientWidth, LEFT + rows.length * CELL + 40), height = Math.min(box.clientHeight, TOP + rows.length * CELL + 8);
    const c = prepare(canvas.current!, width, height);
    const color = colors(box);
    const firstRow = Math.floor(box.scrollTop / CELL), firstColumn = Math.floor(box.scrollLeft / CELL);
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    for (let i = firstRow; i < rows.length && TOP + (i - firstRow) * CELL < height; i++) {
      const y = TOP + (i - firstRow) * CELL;
      const w = map.workloads[rows[i]];
      c.fillStyle = i === cursor.row ? color.accent : color.text;
      c.textAlign = "right";
      c.fillText(fit(c, `${w.namespace}/${labelOf(w)}`, LEFT - 16), LEFT - 8, y + CELL / 2);
      for (let j = firstColumn; j < rows.length && LEFT + (j - firstColumn) * CELL < width; j++) {
        const x = LEFT + (j - firstColumn) * CELL;
        cell(c, map.verdicts[rows[i]][rows[j]], x, y, color);
        if (i === cursor.row && j === cursor.column) {
          c.strokeStyle = color.accent;
          c.lineWidth = 2.5;
          c.strokeRect(x + 1, y + 1, CELL - 2, CELL - 2);
        }
      }
    }
    c.textAlign = "left";
    for (let j = firstColumn; j < rows.length && LEFT + (j - firstColumn) * CELL < width; j++) {
      const w = map.workloads[rows[j]];
      c.save();
      c.translate(LEFT + (j - firstColumn) * CELL + CELL / 2, TOP - 8);
      c.rotate(-Math.PI / 2);
      c.fillStyle = j === cursor.column ? color.accent : color.text;
      c.fillText(fit(c, `${w.namespace}/${labelOf(w)}`, TOP - 14), 0, 0);
      c.restore();
    }
  };
  useEffect(paint);

  const at = (event: MouseEvent) => {
    const box = frame.current!, area = canvas.current!.getBoundingClientRect();
    const row = Math.floor((event.clientY - area.top - TOP) / CELL) + Math.floor(box.scrollTop / CELL);
    const column = Math.floor((event.clientX - area.left - LEFT) / CELL) + Math.floor(box.scrollLeft / CELL);
    return event.clientY - area.top > TOP && event.clientX - area.left > LEFT && row < rows.length && column < rows.length ? { row, column } : undefined;
  };
  const open = (p: { row: number; column: number }) => {
    const from = map.workloads[rows[p.row]], to = map.workloads[rows[p.column]];
    if (from && to && map.verdicts[rows[p.row]][rows[p.column]] !== ".") ask(from.ref, to.ref);
  };
  const key = (event: KeyboardEvent) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === "Enter") open(cursor);
    if (!step) return;
    event.preventDefault();
    const next = { row: limit(cursor.row + step[0]), column: limit(cursor.column + step[1]) };
    setCursor(next);
    const box = frame.current!;
    const visible = (position: number, scroll: number, size: number) => Math.min(position * CELL, Math.max(scroll, (position + 1) * CELL - size));
    box.scrollTop = visible(next.row, box.scrollTop, box.clientHeight - TOP);
    box.scrollLeft = visible(next.column, box.scrollLeft, box.clientWidth - LEFT);
  };
  const from = map.workloads[rows[cursor.row]], to = map.workloads[rows[cursor.column]];
  const value = from && to ? map.verdicts[rows[cursor.row]][rows[cursor.column]] : ".";
  return (
    <>
      <div class="matrix" ref={frame} tabIndex={0} role="application" aria-label="Matrix. Rows are sources and columns are destinations. Arrow keys move, Enter explains."
        onScroll={paint} onKeyDown={key}
        onMouseMove={(e) => { const p = at(e); if (p && (p.row !== cursor.row || p.column !== cursor.column)) setCursor(p); }}
        onClick={(e) => { const p = at(e); if (p) open(p); }}>
        <div class="space" style={{ width: `${LEFT + rows.length * CELL + 40}px`, height: `${TOP + rows.length * CELL + 8}px` }}>
          <canvas ref={canvas} />
        </div>
      </div>
      <p class="status" aria-live="polite">{from && to ? `${from.ref} → ${to.ref}: ${value === "." ? "the same pod" : verdict(value).word}` : ""}</p>
    </>
  );
}

// cell draws a verdict. Each verdict has its own shape.
function cell(c: CanvasRenderingContext2D, v: string, x: number, y: number, color: ReturnType<typeof colors>) {
  const size = CELL - 4;
  x += 2;
  y += 2;
  c.setLineDash([]);
  c.lineWidth = 1.6;
  switch (v) {
    case "a":
      c.fillStyle = color.allow;
      c.fillRect(x, y, size, size);
      break;
    case "p":
      c.fillStyle = color.partly;
      c.beginPath();
      c.moveTo(x, y + size); c.lineTo(x + size, y + size); c.lineTo(x + size, y);
      c.fill();
      c.strokeStyle = color.partly;
      c.strokeRect(x + 1, y + 1, size - 2, size - 2);
      break;
    case "d":
      c.strokeStyle = color.deny;
      c.beginPath();
      c.moveTo(x + 5, y + 5); c.lineTo(x + size - 5, y + size - 5);
      c.moveTo(x + size - 5, y + 5); c.lineTo(x + 5, y + size - 5);
      c.stroke();
      break;
    case "o":
      c.strokeStyle = color.allow;
      c.beginPath();
      c.arc(x + size / 2, y + size / 2, 4, 0, 2 * Math.PI);
      c.stroke();
      break;
    default:
      c.fillStyle = color.line;
      c.fillRect(x, y, size, size);
  }
}
