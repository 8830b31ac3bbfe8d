import { useEffect, useRef, useState } from "preact/hooks";
import { PolicyDetails, PolicySummary, Uses, get } from "./api";
import { useRequest } from "./answer";
import { CopyButton, Empty, Yaml, count, kindAndName, lastLine, policyLink } from "./common";
import { Deletion, Editor } from "./draft";
import { Findings } from "./overview";
import { useStore } from "./store";

const problems = (p: PolicySummary) => p.errors + p.warnings > 0 || p.enforced?.status === "False";

export function PoliciesPage({ parameters }: { parameters: URLSearchParams }) {
  const { policies } = useStore();
  const [text, setText] = useState("");
  const [only, setOnly] = useState(parameters.get("problems") === "1");
  const name = parameters.get("name") ?? "";
  if (!policies) return <Empty>Reading the policies…</Empty>;
  const shown = policies.filter((p) => p.name.includes(text) && (!only || problems(p)));
  return (
    <main class="policies">
      <h1 class="hidden">Policies</h1>
      <nav class="list" aria-label="policies">
        <div class="toolbar">
          <label class="hidden" for="policy-filter">Filter</label>
          <input id="policy-filter" type="search" placeholder="Filter by name" value={text} onInput={(e) => setText(e.currentTarget.value)} />
          <a class="button" href="#/policies?draft=1">New draft</a>
          <label><input type="checkbox" checked={only} onChange={(e) => setOnly(e.currentTarget.checked)} /> with problems</label>
        </div>
        {shown.length === 0 && <Empty>No policy matches.</Empty>}
        <ul>
          {shown.map((p) => (
            <li key={p.name}>
              <a href={policyLink(p.name)} aria-current={p.name === name ? "page" : undefined}>
                <span class="name">{p.name}</span>
                <span class="quiet">{p.tier ? `${p.tier} ${p.priority} · ` : ""}{[p.ingress && "ingress", p.egress && "egress"].filter(Boolean).join(", ")} · {count(p.workloads.length, "workload")}</span>
                <Tags p={p} />
              </a>
            </li>
          ))}
        </ul>
      </nav>
      {parameters.get("draft") ? <Draft name={name} /> : name ? <Details name={name} rule={parameters.get("rule") ?? ""} /> : <div class="details"><Empty>Select a policy.</Empty></div>}
    </main>
  );
}

// TEMPLATE is the draft of a new policy.
const TEMPLATE = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: draft
  namespace: default
spec:
  podSelector: {}
  policyTypes:
  - Ingress
`;

// Draft opens the editor with the manifest of a policy, or with a new policy. It requests the manifest
// only once, because the user edits it.
function Draft({ name }: { name: string }) {
  const { answer, error } = useRequest(name, "", () => name ? get<PolicyDetails>("policy", { name }).then((p) => p.manifest.text) : Promise.resolve(TEMPLATE));
  if (error) return <div class="details"><p class="error" role="alert">{error}</p></div>;
  return <div class="details">{answer === undefined ? <Empty>…</Empty> : <Editor key={name} text={answer} name={name} />}</div>;
}

function Tags({ p }: { p: PolicySummary }) {
  return (
    <span class="tags">
      {p.errors > 0 && <span class="tag bad">{count(p.errors, "error")}</span>}
      {p.warnings > 0 && <span class="tag bad">{count(p.warnings, "warning")}</span>}
      {p.enforced && p.enforced.status !== "True" && <span class="tag bad">not enforced</span>}
      {p.enforced?.status === "True" && <span class="tag good">enforced</span>}
    </span>
  );
}

function Details({ name, rule }: { name: string; rule: string }) {
  const { overview, policies } = useStore();
  // The enforcement can change although no object changes.
  const version = `${overview?.revision} ${JSON.stringify(policies?.find((p) => p.name === name)?.enforced)}`;
  const { answer, error } = useRequest(name, version, () => get<PolicyDetails>("policy", { name }));
  const uses = useRequest(name, version, () => get<Uses>("uses", { name }));
  const useOf = (direction: string, index: number | null) => uses.answer?.rules.find((u) => u.direction === direction && u.rule === index)?.use;
  const [selected, setSelected] = useState(rule);
  useEffect(() => setSelected(rule), [rule, name]);
  const yaml = useRef<HTMLDivElement>(null);
  useEffect(() => { yaml.current?.querySelector(".marked")?.scrollIntoView({ block: "nearest" }); }, [selected, answer]);
  if (error) return <div class="details"><p class="error" role="alert">{error}</p></div>;
  if (!answer) return <div class="details"><Empty>…</Empty></div>;
  const marked = answer.ruleList.find((r) => `${r.direction}.${r.index}` === selected);
  const { manifest } = answer;
  return (
    <div class="details">
      <h2>{answer.name} <span class="quiet">{answer.policyKind}</span></h2>
      <p>
        Selects {answer.subject}: {answer.workloads.length === 0 ? "no workload" : answer.workloads.slice(0, 12).map((w, i) => <>{i > 0 && ", "}<a href={`#/map?workload=${encodeURIComponent(w)}`}>{kindAndName(w)}</a></>)}
        {answer.workloads.length > 12 && ` and ${answer.workloads.length - 12} more`}.
      </p>
      <p class="actions">
        <a class="button" href={`#/policies?name=${encodeURIComponent(name)}&draft=1`}>Edit a draft</a> <Deletion key={name} name={name} />
      </p>
      {answer.enforced && <p><span class={`tag ${answer.enforced.status === "True" ? "good" : "bad"}`}>{answer.enforced.reason}</span> {answer.enforced.message}</p>}
      <h3>Rules</h3>
      {answer.ruleList.length === 0 && <p>The policy has no rules{answer.tier ? "" : `, so it allows no ${[answer.ingress && "ingress", answer.egress && "egress"].filter(Boolean).join(" and no ")}`}.</p>}
      <ul class="rules">
        {answer.ruleList.map((r) => (
          <li>
            <button type="button" class="rule" aria-pressed={r === marked} onClick={() => setSelected(`${r.direction}.${r.index}`)}>
              {answer.tier && <b>{r.action} </b>}{r.text} <span class="quiet use">{useOf(r.direction, r.index)}</span>
            </button>
          </li>
        ))}
      </ul>
      {["ingress", "egress"].filter((d) => useOf(d, null)).map((d) => <p class="quiet use">{d}: {useOf(d, null)}</p>)}
      {uses.answer?.missing && <p class="quiet">{uses.answer.missing}.</p>}
      {uses.error && <p class="quiet">How often rules are used cannot be shown: {uses.error}</p>}
      {answer.findings.length > 0 && <><h3>Findings</h3><Findings findings={answer.findings} alone /></>}
      <h3>Manifest {manifest.file && <span class="quiet">{manifest.file}:{manifest.line}</span>} {manifest.text && <CopyButton text={manifest.text} />}</h3>
      {answer.manifestError && <p class="error">{answer.manifestError}</p>}
      {manifest.text && <div ref={yaml}><Yaml text={manifest.text} first={manifest.line} from={marked?.line} to={marked?.line ? lastLine(manifest.text, marked.line) : undefined} /></div>}
    </div>
  );
}
