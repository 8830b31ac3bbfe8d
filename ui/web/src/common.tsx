import { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { FlowEvent, Port, Side, Workload } from "./api";

// Each verdict has a word, a symbol and a class. The symbol distinguishes the verdicts without
// colors.
const VERDICTS: Record<string, { word: string; symbol: string; kind: string }> = {
  a: { word: "allowed", symbol: "✓", kind: "allow" },
  o: { word: "allowed, no policy applies", symbol: "○", kind: "open" },
  p: { word: "allowed on some ports", symbol: "◐", kind: "partly" },
  d: { word: "denied", symbol: "✕", kind: "deny" },
  Allow: { word: "allowed", symbol: "✓", kind: "allow" },
  Deny: { word: "denied", symbol: "✕", kind: "deny" },
  Mixed: { word: "partly allowed", symbol: "◐", kind: "partly" },
  // These are verdicts of packets in events. See package report.
  MidStream: { word: "mid-stream", symbol: "…", kind: "neutral" },
  Unknown: { word: "unknown pod", symbol: "?", kind: "partly" },
  Unreadable: { word: "unreadable", symbol: "?", kind: "partly" },
};

export const verdict = (v: string) => VERDICTS[v] ?? { word: v, symbol: "?", kind: "partly" };

export function Verdict({ of, short }: { of: string; short?: boolean }) {
  const v = verdict(of);
  return (
    <span class={`verdict ${v.kind}`}>
      <span aria-hidden="true">{v.symbol}</span> <span class={short ? "hidden" : ""}>{v.word}</span>
    </span>
  );
}

export const portText = (p: Port) => `${p.protocol} ${p.port}${p.name ? ` (${p.name})` : ""}`;

// kindAndName returns the name of a workload without its namespace, such as "deployment/web".
export const kindAndName = (ref: string) => ref.slice(ref.indexOf("/") + 1);

export const labelOf = (w: Workload) => w.name + (w.pods.length > 1 ? ` ×${w.pods.length}` : "");

// useHash returns the part of the address after #, and its parameters.
export function useHash(): [string, URLSearchParams] {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const listener = () => setHash(location.hash);
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  const [path, query] = hash.slice(1).split("?");
  return [path || "/overview", new URLSearchParams(query ?? "")];
}

export const policyLink = (name: string, rule?: { direction: string; index: number }) =>
  `#/policies?name=${encodeURIComponent(name)}${rule ? `&rule=${rule.direction}.${rule.index}` : ""}`;

export function PolicyLink({ name, rule }: { name: string; rule?: { direction: string; index: number } }) {
  return <a href={policyLink(name, rule)}>{name}</a>;
}

export function PolicyLinks({ names }: { names: string[] }) {
  return <>{names.map((name, i) => <>{i > 0 && ", "}<PolicyLink name={name} /></>)}</>;
}

// Linked shows a text in which the names of policies are links.
export function Linked({ text, names }: { text: string; names: string[] }) {
  if (!names.length) return <>{text}</>;
  // Dots are the only characters in names that are special in regular expressions. The text after a
  // name must not continue it, because a name can be the beginning of another one.
  const name = `(?:${names.map((n) => n.replaceAll(".", "\\.")).join("|")})(?![-.\\w])`;
  return <>{text.split(new RegExp(`(${name})`)).map((part) => (names.includes(part) ? <PolicyLink name={part} /> : part))}</>;
}

// count returns a number and a noun, such as "1 pod" or "2 pods".
export const count = (n: number, noun: string) => `${n} ${n === 1 ? noun : `${noun}s`}`;

// deciders returns the policies that decided a side, or that isolate the pod.
export function deciders(side: Side | undefined): string[] {
  if (!side) return [];
  if (side.policy) return [side.policy];
  return side.isolatedBy ?? [];
}

// policiesOf returns the policies that decided a flow. For a denied flow, it returns only the
// policies of the sides that denied it.
export function policiesOf(e: FlowEvent): string[] {
  const sides = [e.egress, e.ingress].filter((s): s is Side => !!s);
  const denied = sides.filter((s) => s.verdict === "Deny");
  return [...new Set((denied.length ? denied : sides).flatMap(deciders))];
}

// Yaml shows a manifest with line numbers and highlights some lines.
export function Yaml({ text, first, from, to, only }: { text: string; first: number; from?: number; to?: number; only?: boolean }) {
  const lines = text.replace(/\n$/, "").split("\n").map((line, i) => ({ line, n: i + 1 }));
  const shown = only && from ? lines.filter(({ n }) => n >= from - 2 && n <= (to ?? from) + 1) : lines;
  return (
    <pre class="yaml" tabIndex={0} aria-label="manifest">
      {shown.map(({ line, n }) => (
        <div key={n} class={from && n >= from && n <= (to ?? from) ? "marked" : ""}>
          <span class="number">{first + n - 1}</span>{line || " "}
        </div>
      ))}
    </pre>
  );
}

// lastLine returns the last line of the list item that begins on a line.
export function lastLine(text: string, line: number): number {
  const lines = text.split("\n");
  const depth = (s: string) => s.length - s.trimStart().length;
  const start = depth(lines[line - 1] ?? "");
  let last = line;
  for (let i = line; i < lines.length; i++) {
    const item = lines[i];
    if (item.trim() && depth(item) <= start) break;
    if (item.trim()) last = i + 1;
  }
  return last;
}

export function CopyButton({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  };
  return <button type="button" onClick={copy}>{done ? "Copied" : "Copy"}</button>;
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
