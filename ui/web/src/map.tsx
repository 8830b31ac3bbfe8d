import { useCallback, useMemo, useState } from "preact/hooks";
import { Peer, Peers, get } from "./api";
import { useAnswer } from "./answer";
import { Empty, PolicyLinks, Verdict, count, portText } from "./common";
import { Graph } from "./graph";
import { observed } from "./layout";
import { Matrix } from "./matrix";
import { useStore } from "./store";

// The map shows the workloads of all namespaces if there are at most this many.
const EXPANDED = 60;

export function MapPage({ parameters, ask }: { parameters: URLSearchParams; ask: (from: string, to: string, port?: string) => void }) {
  const { map, mapError, flows } = useStore();
  const [hidden, setHidden] = useState<string[]>([]);
  const [toggled, setToggled] = useState<string[]>([]);
  const [shown, setShown] = useState({ policies: true, flows: true });
  const selected = parameters.get("workload") ?? "";
  const asMatrix = parameters.get("as") === "matrix";
  const all = useMemo(() => [...new Set(map?.workloads.map((w) => w.namespace))].sort(), [map]);
  const namespaces = useMemo(() => all.filter((n) => !hidden.includes(n)), [all, hidden]);
  const few = (map?.workloads.filter((w) => namespaces.includes(w.namespace)).length ?? 0) <= EXPANDED;
  const chosen = selected.split("/")[0];
  const expanded = useCallback((n: string) => (few || n === chosen) !== toggled.includes(n), [few, chosen, toggled]);
  const pairs = useMemo(() => observed(flows), [flows]);
  if (mapError) return <p class="error" role="alert">{mapError}</p>;
  if (!map) return <Empty>Evaluating the flows between all workloads…</Empty>;
  const open = (workload: string, as = asMatrix ? "matrix" : "") => {
    const next = new URLSearchParams();
    if (workload) next.set("workload", workload);
    if (as) next.set("as", as);
    location.hash = `#/map?${next}`;
  };
  const toggle = (n: string) => setToggled((t) => (t.includes(n) ? t.filter((m) => m !== n) : [...t, n]));
  return (
    <main class="map">
      <h1 class="hidden">Map</h1>
      <div class="toolbar">
        <span class="group" role="group" aria-label="presentation">
          <button type="button" aria-pressed={!asMatrix} onClick={() => open(selected, "")}>Graph</button>
          <button type="button" aria-pressed={asMatrix} onClick={() => open(selected, "matrix")}>Matrix</button>
        </span>
        <label>Workload <select value={selected} onChange={(e) => open(e.currentTarget.value)}>
          <option value="">none selected</option>
          {map.workloads.map((w) => <option>{w.ref}</option>)}
        </select></label>
        <details class="menu">
          <summary>{namespaces.length === all.length ? "All namespaces" : `${namespaces.length} of ${all.length} namespaces`}</summary>
          <div>
            <button type="button" onClick={() => setHidden([])}>All</button> <button type="button" onClick={() => setHidden(all)}>None</button>
            {all.map((n) => <label><input type="checkbox" checked={!hidden.includes(n)} onChange={() => setHidden(hidden.includes(n) ? hidden.filter((m) => m !== n) : [...hidden, n])} /> {n}</label>)}
          </div>
        </details>
        {!asMatrix && (
          <>
            <label><input type="checkbox" checked={shown.policies} onChange={(e) => setShown({ ...shown, policies: e.currentTarget.checked })} /> what policies allow</label>
            <label><input type="checkbox" checked={shown.flows} onChange={(e) => setShown({ ...shown, flows: e.currentTarget.checked })} /> observed flows</label>
          </>
        )}
        <Legend matrix={asMatrix} />
      </div>
      <div class="split">
        <div class="canvas">
          {asMatrix ? <Matrix map={map} namespaces={namespaces} ask={ask} />
            : <Graph map={map} namespaces={namespaces} shown={shown} observed={pairs} selected={selected} expanded={expanded} select={open} toggle={toggle} ask={ask} />}
        </div>
        {selected && <WorkloadPanel key={selected} name={selected} ask={ask} close={() => open("")} />}
      </div>
    </main>
  );
}

function Legend({ matrix }: { matrix: boolean }) {
  if (matrix) return (
    <span class="legend quiet">
      <i class="cell allow" /> allowed <i class="cell partly" /> on some ports <span class="deny">✕</span> denied <span class="allow">○</span> no policy applies
    </span>
  );
  return (
    <span class="legend quiet">
      <i class="line allow" /> allowed <i class="line partly" /> on some ports <i class="line deny" /> denied <b>thick</b>: observed flows · square: isolated for ingress, round: not isolated
    </span>
  );
}

function WorkloadPanel({ name, ask, close }: { name: string; ask: (from: string, to: string, port?: string) => void; close: () => void }) {
  const { answer, error } = useAnswer(name, () => get<Peers>("peers", { workload: name }));
  return (
    <aside class="panel" aria-label={name}>
      <button type="button" class="close" aria-label="Close" onClick={close}>✕</button>
      <h2>{name}</h2>
      {error && <p class="error">{error}</p>}
      {answer && (
        <>
          <p class="quiet">{count(answer.workload.pods.length, "pod")}; {answer.workload.assumed ? "no port is known, so TCP 80 is evaluated" : answer.workload.ports.map(portText).join(", ")}</p>
          <Policies title="Ingress" names={answer.workload.ingress} /> <Policies title="Egress" names={answer.workload.egress} />
          <PeerList title="Who can reach it" peers={answer.from} ask={(peer) => ask(peer, name)} />
          <PeerList title="What it can reach" peers={answer.to} ask={(peer) => ask(name, peer)} />
        </>
      )}
    </aside>
  );
}

function Policies({ title, names }: { title: string; names?: string[] }) {
  if (!names?.length) return <p>{title}: not isolated, no policy applies.</p>;
  return <p>{title}: <PolicyLinks names={names} /></p>;
}

function PeerList({ title, peers, ask }: { title: string; peers: Peer[]; ask: (ref: string) => void }) {
  const allowed = peers.filter((p) => p.verdict !== "d"), denied = peers.filter((p) => p.verdict === "d");
  return (
    <section>
      <h3>{title} <span class="quiet">{allowed.length} of {peers.length}</span></h3>
      <ul class="peers">{allowed.map((p) => <Row p={p} ask={ask} />)}</ul>
      {denied.length > 0 && <details><summary>{denied.length} cannot</summary><ul class="peers">{denied.map((p) => <Row p={p} ask={ask} />)}</ul></details>}
    </section>
  );
}

function Row({ p, ask }: { p: Peer; ask: (ref: string) => void }) {
  return (
    <li><button type="button" onClick={() => ask(p.ref)}><Verdict of={p.verdict} short /> {p.ref} <span class="quiet">{p.allowed?.join(", ")}</span></button></li>
  );
}
