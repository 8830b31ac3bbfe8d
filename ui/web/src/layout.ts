import { FlowEvent, ReachMap } from "./api";

// The sizes are in CSS pixels.
const NODE = { width: 148, height: 28, gap: 44, rowGap: 22 };
const BOX = { padding: 14, title: 30, gap: 46, collapsed: { width: 190, height: 64 } };

export interface Rect { x: number; y: number; width: number; height: number }
export interface Node extends Rect { index: number; namespace: string }
export interface Box extends Rect { namespace: string; collapsed: boolean; count: number }
export interface Layout { nodes: Map<number, Node>; boxes: Box[]; width: number; height: number }
export interface Edge { from: Rect; to: Rect; kind: string; source: string; destination: string; collapsed: boolean; count: number }

// layout places the namespaces in rows from left to right. An expanded namespace contains its
// workloads in columns.
export function layout(map: ReachMap, namespaces: string[], expanded: (namespace: string) => boolean, width: number): Layout {
  const nodes = new Map<number, Node>();
  const boxes: Box[] = [];
  let x = BOX.gap / 2, y = BOX.gap / 2, rowHeight = 0, right = 0;
  for (const namespace of namespaces) {
    const members = map.workloads.flatMap((w, i) => (w.namespace === namespace ? [i] : []));
    const collapsed = !expanded(namespace);
    const columns = Math.max(1, Math.min(Math.ceil(Math.sqrt(members.length / 2.5)), Math.floor((width - 60) / (NODE.width + NODE.gap)) || 1));
    const rows = Math.ceil(members.length / columns);
    const size = collapsed ? BOX.collapsed : {
      width: columns * (NODE.width + NODE.gap) - NODE.gap + 2 * BOX.padding,
      height: rows * (NODE.height + NODE.rowGap) - NODE.rowGap + 2 * BOX.padding + BOX.title,
    };
    if (x > BOX.gap && x + size.width > width - BOX.gap / 2) {
      x = BOX.gap / 2;
      y += rowHeight + BOX.gap;
      rowHeight = 0;
    }
    boxes.push({ namespace, collapsed, count: members.length, x, y, ...size });
    if (!collapsed) members.forEach((index, i) => nodes.set(index, {
      index, namespace, width: NODE.width, height: NODE.height,
      x: x + BOX.padding + (i % columns) * (NODE.width + NODE.gap),
      y: y + BOX.title + BOX.padding + Math.floor(i / columns) * (NODE.height + NODE.rowGap),
    }));
    right = Math.max(right, x + size.width);
    x += size.width + BOX.gap;
    rowHeight = Math.max(rowHeight, size.height);
  }
  return { nodes, boxes, width: Math.max(width, right + BOX.gap / 2), height: y + rowHeight + BOX.gap / 2 };
}

// edges returns the lines between nodes. While a workload is selected, these are all its flows.
// Otherwise they are the flows that policies allow, and the observed flows. A collapsed
// namespace has one line for all its workloads.
export function edges(map: ReachMap, l: Layout, shown: { policies: boolean; flows: boolean }, observed: Map<string, string>, selected?: number): Edge[] {
  const place = map.workloads.map((w, i) => l.nodes.get(i) ?? l.boxes.find((b) => b.namespace === w.namespace));
  const out = new Map<string, Edge>();
  const add = (i: number, j: number, kind: string) => {
    const from = place[i], to = place[j];
    if (!from || !to || from === to) return;
    const collapsed = !("index" in from) || !("index" in to);
    const id = (r: Rect) => ("index" in r ? String((r as Node).index) : (r as Box).namespace);
    const key = `${id(from)} ${id(to)} ${kind}`;
    const edge = out.get(key);
    if (edge) edge.count++;
    else out.set(key, { from, to, kind, collapsed, count: 1, source: map.workloads[i].ref, destination: map.workloads[j].ref });
  };
  if (shown.policies) {
    map.verdicts.forEach((row, i) => {
      for (let j = 0; j < row.length; j++) {
        const one = selected === i || selected === j;
        if (row[j] === "a" || row[j] === "p" || (one && row[j] === "d")) if (selected === undefined || one) add(i, j, row[j]);
      }
    });
  }
  if (shown.flows) {
    const index = new Map(map.workloads.map((w, i) => [w.ref, i]));
    observed.forEach((kind, key) => {
      const [i, j] = key.split(" ").map((ref) => index.get(ref));
      if (i !== undefined && j !== undefined && (selected === undefined || selected === i || selected === j)) add(i, j, kind);
    });
  }
  return [...out.values()];
}

// observed returns the pairs of workloads with observed flows. The kind is "D" if the latest flow was
// denied and "A" if it was allowed. Packets with another verdict, such as MidStream, are not counted.
export function observed(flows: FlowEvent[]): Map<string, string> {
  const out = new Map<string, string>();
  for (const e of flows) {
    const kind = { Allow: "A", Deny: "D" }[e.verdict];
    if (kind && e.source.workload && e.destination.workload) out.set(`${e.source.workload} ${e.destination.workload}`, kind);
  }
  return out;
}

// curve returns the points of the line of an edge: its ends at the borders of the rectangles and a
// control point.
export function curve(e: Edge): [number, number, number, number, number, number] {
  const fx = e.from.x + e.from.width / 2, fy = e.from.y + e.from.height / 2;
  const tx = e.to.x + e.to.width / 2, ty = e.to.y + e.to.height / 2;
  const [x1, y1] = border(e.from, tx, ty), [x2, y2] = border(e.to, fx, fy);
  const bend = 0.16;
  return [x1, y1, (x1 + x2) / 2 - (y2 - y1) * bend, (y1 + y2) / 2 + (x2 - x1) * bend, x2, y2];
}

function border(r: Rect, x: number, y: number): [number, number] {
  const cx = r.x + r.width / 2, cy = r.y + r.height / 2;
  const scale = Math.min(r.width / 2 / Math.max(Math.abs(x - cx), 0.01), r.height / 2 / Math.max(Math.abs(y - cy), 0.01), 1);
  return [cx + (x - cx) * scale, cy + (y - cy) * scale];
}

// near reports whether a point is close to an edge.
export function near(e: Edge, x: number, y: number): boolean {
  const [x1, y1, cx, cy, x2, y2] = curve(e);
  for (let t = 0; t <= 1; t += 0.02) {
    const px = (1 - t) ** 2 * x1 + 2 * t * (1 - t) * cx + t ** 2 * x2;
    const py = (1 - t) ** 2 * y1 + 2 * t * (1 - t) * cy + t ** 2 * y2;
    if (Math.hypot(px - x, py - y) < 6) return true;
  }
  return false;
}

export const inside = (r: Rect, x: number, y: number) => x >= r.x && x <= r.x + r.width && y >= r.y && y <= r.y + r.height;
