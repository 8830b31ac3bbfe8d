import { useMemo, useState } from "preact/hooks";
import { FlowEvent, Question } from "./api";
import { Empty, PolicyLinks, Verdict, count, policiesOf } from "./common";
import { useStore } from "./store";

const SHOWN = 300;

const endText = (e: FlowEvent, source: boolean) => (source ? e.source.pod || e.src : e.destination.pod || e.dst) ?? "";
const namespaceOf = (pod: string | undefined) => pod?.split("/")[0] ?? "";
const questionOf = (e: FlowEvent): Question => ({ from: e.src ?? "", to: e.dst ?? "", port: String(e.dstPort ?? ""), protocol: e.protocol,
  title: `Can ${endText(e, true)} reach ${endText(e, false)}?`,
});

export function FlowsPage({ parameters, ask }: { parameters: URLSearchParams; ask: (q: Question) => void }) {
  const { flows, streams, missed } = useStore();
  const [namespace, setNamespace] = useState("");
  const [verdict, setVerdict] = useState(parameters.get("verdict") ?? "");
  const [text, setText] = useState(parameters.get("workload") ?? "");
  const [policy, setPolicy] = useState(parameters.get("policy") ?? "");
  const [held, setHeld] = useState<FlowEvent[]>();
  const namespaces = useMemo(() => [...new Set(flows.flatMap((e) => [namespaceOf(e.source.pod), namespaceOf(e.destination.pod)]))].filter(Boolean).sort(), [flows]);
  const matching = (held ?? flows).filter((e) =>
    (!namespace || namespaceOf(e.source.pod) === namespace || namespaceOf(e.destination.pod) === namespace) &&
    (!verdict || e.verdict === verdict) &&
    (!text || `${endText(e, true)} ${e.source.workload} ${endText(e, false)} ${e.destination.workload} ${e.dstPort}`.includes(text)) &&
    (!policy || policiesOf(e).some((p) => p.includes(policy))));
  const shown = matching.slice(-SHOWN).reverse();
  const notListening = streams.filter((s) => !s.listening && s.message);
  return (
    <main class="flows">
      <h1 class="hidden">Flows</h1>
      <div class="toolbar" role="search">
        <label>Namespace <select value={namespace} onChange={(e) => setNamespace(e.currentTarget.value)}><option value="">all</option>{namespaces.map((n) => <option>{n}</option>)}</select></label>
        <label>Verdict <select id="verdict" value={verdict} onChange={(e) => setVerdict(e.currentTarget.value)}><option value="">all</option><option value="Allow">allowed</option><option value="Deny">denied</option></select></label>
        <label>Workload, pod or port <input type="search" value={text} onInput={(e) => setText(e.currentTarget.value)} /></label>
        <label>Policy <input type="search" value={policy} onInput={(e) => setPolicy(e.currentTarget.value)} /></label>
        <button type="button" aria-pressed={!!held} onClick={() => setHeld(held ? undefined : flows)}>{held ? "Continue" : "Pause"}</button>
        <span class="quiet">{count(matching.length, "flow")}{missed ? `, ${missed} not shown` : ""}</span>
      </div>
      {notListening.map((s) => <p class="hint">{s.node ? `Node ${s.node}: ` : ""}{s.message}</p>)}
      {shown.length === 0 && <Empty>{streams.some((s) => s.listening) ? "No flow yet. The first packet of each new connection appears here." : "No flows."}</Empty>}
      {shown.length > 0 && (
        <table class="list">
          <thead><tr><th>Time</th><th>Verdict</th><th>From</th><th>To</th><th>Port</th><th>Decided by</th><th></th></tr></thead>
          <tbody>
            {shown.map((e) => (
              <tr key={e.id} class={e.verdict === "Deny" ? "denied" : ""} data-verdict={e.verdict}>
                <td class="time" title={e.node ? `on node ${e.node}` : undefined}>{new Date(e.time).toLocaleTimeString()}</td>
                <td><Verdict of={e.verdict} /></td>
                <td title={e.src}>{endText(e, true)}</td>
                <td title={e.dst}>{endText(e, false)}</td>
                <td>{e.protocol} {e.dstPort}</td>
                <td><PolicyLinks names={policiesOf(e)} />{policiesOf(e).length === 0 && <span class="quiet">{e.fault ?? "no policy"}</span>}</td>
                <td>{e.src && <button type="button" onClick={() => ask(questionOf(e))}>Why?</button>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </main>
  );
}
