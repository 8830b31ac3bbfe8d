import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ReachMap } from "./api";
import { Colors, colors, fit, prepare, roundRect, useRedraw } from "./canvas";
import { count, labelOf } from "./common";
import { Edge, Layout, curve, edges, inside, layout, near } from "./layout";

interface Props {
  map: ReachMap; namespaces: string[]; shown: { policies: boolean; flows: boolean }; observed: Map<string, string>;
  selected?: string; expanded: (namespace: string) => boolean;
  select: (ref: string) => void; toggle: (namespace: string) => void; ask: (from: string, to: string) => void;
}

// The style of each kind of edge. The dash distinguishes the kinds without colors. Only observed flows
// have thick lines.
const STYLES: Record<string, { color: keyof Colors; dash: number[]; width: number }> = {
  a: { color: "allow", dash: [], width: 1.3 },
  p: { color: "partly", dash: [9, 3, 2, 3], width: 1.3 },
  d: { color: "deny", dash: [3, 5], width: 1.1 },
  A: { color: "allow", dash: [], width: 3 },
  D: { color: "deny", dash: [7, 5], width: 3 },
};

export function Graph(props: Props) {
  const { map, namespaces, shown, observed, selected, expanded } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const { width, redraws } = useRedraw(frame);
  const [hover, setHover] = useState<string>();
  const index = map.workloads.findIndex((w) => w.ref === selected);
  const l = useMemo(() => layout(map, namespaces, expanded, width), [map, namespaces, expanded, width]);
  const lines = useMemo(() => edges(map, l, shown, observed, index < 0 ? undefined : index), [map, l, shown, observed, index]);
  useEffect(() => {
    if (width) draw(canvas.current!, map, l, lines, index);
  }, [map, l, lines, index, redraws]);

  const target = (x: number, y: number) => {
    for (const node of l.nodes.values()) if (inside(node, x, y)) return { node };
    for (const e of lines) if (near(e, x, y)) return { edge: e };
    for (const box of l.boxes) if (inside(box, x, y) && (box.collapsed || y < box.y + 32)) return { box };
    return {};
  };
  const click = (event: MouseEvent) => {
    const { node, edge, box } = target(event.offsetX, event.offsetY);
    if (node) props.select(map.workloads[node.index].ref);
    else if (edge?.collapsed) [edge.source, edge.destination].map((ref) => ref.split("/")[0]).filter((n) => !expanded(n)).forEach(props.toggle);
    else if (edge) props.ask(edge.source, edge.destination);
    else if (box) props.toggle(box.namespace);
    else props.select("");
  };
  const move = (event: MouseEvent) => {
    const { node, edge, box } = target(event.offsetX, event.offsetY);
    canvas.current!.style.cursor = node || edge || box ? "pointer" : "default";
    setHover(node ? map.workloads[node.index].ref : edge ? edgeText(edge) : box ? `namespace ${box.namespace}: ${box.collapsed ? "expand" : "collapse"}` : undefined);
  };
  const key = (event: KeyboardEvent) => {
    const order = [...l.nodes.keys()];
    const at = order.indexOf(index);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && order.length) {
      props.select(map.workloads[order[(at + step + order.length) % order.length]].ref);
      event.preventDefault();
    } else if (event.key === "Escape") props.select("");
    else if (event.key === "Enter" && !order.length && l.boxes.length) l.boxes.forEach((b) => props.toggle(b.namespace));
  };
  return (
    <div class="graph" ref={frame}>
      <canvas ref={canvas} tabIndex={0} role="img" onClick={click} onMouseMove={move} onMouseLeave={() => setHover(undefined)} onKeyDown={key}
        aria-label={`Map of ${map.workloads.length} workloads. Arrow keys select a workload. The panel lists who can reach it.`} />
      <p class="status" aria-live="polite">{hover ?? (selected || `${count(lines.length, "line")}. Select a workload to see all its flows, or a line to see the reason.`)}</p>
    </div>
  );
}

const words: Record<string, string> = { a: "policies allow", p: "policies allow on some ports", d: "policies deny", A: "observed flows, allowed", D: "observed flows, denied" };

const edgeText = (e: Edge) => e.collapsed ? `${e.source.split("/")[0]} → ${e.destination.split("/")[0]}: ${words[e.kind]} (${e.count} pairs)` : `${e.source} → ${e.destination}: ${words[e.kind]}`;

function draw(canvas: HTMLCanvasElement, map: ReachMap, l: Layout, lines: Edge[], selected: number) {
  const c = prepare(canvas, l.width, l.height);
  const color = colors(canvas);
  c.font = "13px system-ui, sans-serif";
  c.textBaseline = "middle";
  for (const box of l.boxes) {
    roundRect(c, box.x, box.y, box.width, box.height, 10);
    c.fillStyle = color.surface;
    c.fill();
    c.strokeStyle = color.line;
    c.lineWidth = 1;
    c.setLineDash([]);
    c.stroke();
  }
  const many = lines.length > 60 && selected < 0;
  for (const e of lines) drawEdge(c, color, e, many && e.kind > "Z" ? 0.3 : e.kind === "d" ? 0.6 : 0.95);
  for (const box of l.boxes) {
    c.fillStyle = color.text;
    c.font = "600 13px system-ui, sans-serif";
    c.fillText(fit(c, `${box.collapsed ? "▸" : "▾"} ${box.namespace}`, box.width - 24), box.x + 12, box.y + 20);
    c.font = "13px system-ui, sans-serif";
    if (box.collapsed) {
      c.fillStyle = color.quiet;
      c.fillText(count(box.count, "workload"), box.x + 26, box.y + 44);
    }
  }
  const linked = new Set(lines.flatMap((e) => [e.source, e.destination]));
  for (const node of l.nodes.values()) {
    const w = map.workloads[node.index];
    c.globalAlpha = selected < 0 || selected === node.index || linked.has(w.ref) ? 1 : 0.45;
    roundRect(c, node.x, node.y, node.width, node.height, w.ingress?.length ? 4 : 13);
    c.fillStyle = selected === node.index ? color.accent : color.raised;
    c.fill();
    c.setLineDash([]);
    c.strokeStyle = w.ingress?.length || w.egress?.length ? color.text : color.line;
    c.lineWidth = w.ingress?.length ? 1.6 : 1;
    c.stroke();
    c.fillStyle = selected === node.index ? color.background : color.text;
    c.fillText(fit(c, labelOf(w), node.width - 20), node.x + 10, node.y + node.height / 2 + 1);
  }
  c.globalAlpha = 1;
}

function drawEdge(c: CanvasRenderingContext2D, color: Colors, e: Edge, alpha: number) {
  const style = STYLES[e.kind];
  const [x1, y1, cx, cy, x2, y2] = curve(e);
  c.globalAlpha = alpha;
  c.strokeStyle = c.fillStyle = color[style.color];
  c.lineWidth = style.width;
  c.setLineDash(style.dash);
  c.beginPath();
  c.moveTo(x1, y1);
  c.quadraticCurveTo(cx, cy, x2, y2);
  c.stroke();
  c.setLineDash([]);
  const angle = Math.atan2(y2 - cy, x2 - cx), size = 5 + c.lineWidth;
  c.beginPath();
  c.moveTo(x2, y2);
  c.lineTo(x2 - size * Math.cos(angle - 0.4), y2 - size * Math.sin(angle - 0.4));
  c.lineTo(x2 - size * Math.cos(angle + 0.4), y2 - size * Math.sin(angle + 0.4));
  c.fill();
  if (e.kind === "d" || e.kind === "D") { // A cross in the middle of the curve.
    const mx = (x1 + 2 * cx + x2) / 4, my = (y1 + 2 * cy + y2) / 4, r = 4;
    c.lineWidth = 2;
    c.beginPath();
    c.moveTo(mx - r, my - r); c.lineTo(mx + r, my + r);
    c.moveTo(mx + r, my - r); c.lineTo(mx - r, my + r);
    c.stroke();
  }
  c.globalAlpha = 1;
}
