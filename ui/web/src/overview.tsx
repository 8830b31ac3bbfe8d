import { useEffect } from "preact/hooks";
import { Finding, Minute } from "./api";
import { Empty, PolicyLink, count } from "./common";
import { useStore } from "./store";

export function OverviewPage() {
  const { overview, policies, flows, streams } = useStore();
  // The tests read the mark.
  useEffect(() => { if (overview && !performance.getEntriesByName("first-view").length) performance.mark("first-view"); }, [!overview]);
  if (!overview) return <Empty>Reading the objects…</Empty>;
  const { status } = overview;
  const nodes = status?.enforcer?.nodes;
  const withProblems = new Set([
    ...(status?.policies.problems.filter((p) => !p.enforced).map((p) => p.name) ?? []),
    ...overview.lint.findings.filter((f) => f.severity !== "note").map((f) => f.policy || `namespace ${f.namespace}`),
  ]);
  const listening = streams.some((s) => s.listening);
  const last = overview.minutes.slice(-6, -1);
  const current = overview.minutes.at(-1);
  const perMinute = Math.max(current?.denied ?? 0, Math.round(last.reduce((n, m) => n + m.denied, 0) / Math.max(1, last.length)));
  return (
    <main class="overview">
      <h1 class="hidden">Overview</h1>
      <div class="cards">
        <Card title="Nodes that enforce policies" value={nodes ? `${nodes.ready} of ${nodes.desired}` : "–"} bad={!!nodes && nodes.ready < nodes.desired}
          text={nodes ? (status!.enforced ? "Every policy is enforced." : "Not everything is enforced.") : overview.noStatus ?? "There is no Enforcer."} />
        <Card title="Policies with problems" value={`${withProblems.size} of ${overview.policies}`} bad={withProblems.size > 0} href="#/policies?problems=1"
          text={[count(overview.lint.errors, "error"), count(overview.lint.warnings, "warning"), count(overview.lint.notes, "note")].join(", ")} />
        <Card title="Denials per minute" value={flows.length || listening ? String(perMinute) : "–"} bad={perMinute > 0} href="#/flows?verdict=Deny"
          text={listening ? "Flows that nodes deny now" : streams[0]?.message ?? "No stream of flows is open yet."} />
        <Card title="Objects" value={String(overview.pods)} text={`pods in ${overview.namespaces} namespaces, ${policies?.length ?? overview.policies} policies`} href="#/map" />
      </div>
      {flows.length > 0 && <Chart minutes={overview.minutes} />}
      {overview.error && <p class="error" role="alert">The objects could not be read again: {overview.error}</p>}
      {status && (status.nodes.problems.length > 0 || status.policies.problems.some((p) => !p.enforced)) && (
        <section>
          <h2>Not enforced</h2>
          <ul class="problems">
            {[...status.nodes.problems, ...status.policies.problems.filter((p) => !p.enforced)].slice(0, 30).map((p) => (
              <li><b>{p.name}</b> <span class="tag bad">{p.reason}</span> {p.message}</li>
            ))}
          </ul>
        </section>
      )}
      <Findings findings={bySeverity(overview.lint.findings)} />
      {!!overview.notes?.length && <section><h2>Notes</h2><ul class="problems">{overview.notes.map((n) => <li>{n}</li>)}</ul></section>}
    </main>
  );
}

const SEVERITIES = ["error", "warning", "note"];
const bySeverity = (findings: Finding[]) => [...findings].sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));

function Card({ title, value, text, bad, href }: { title: string; value: string; text: string; bad?: boolean; href?: string }) {
  const content = <><h2>{title}</h2><p class={`value ${bad ? "bad" : ""}`}>{bad && <span aria-hidden="true">! </span>}{value}</p><p class="quiet">{text}</p></>;
  return href ? <a class="card" href={href}>{content}</a> : <section class="card">{content}</section>;
}

// Chart shows the denied flows of the last minutes as bars.
function Chart({ minutes }: { minutes: Minute[] }) {
  const most = Math.max(1, ...minutes.map((m) => m.denied));
  return (
    <section>
      <h2>Denied flows, last {minutes.length} minutes</h2>
      <svg class="chart" viewBox={`0 0 ${minutes.length * 10} 50`} preserveAspectRatio="none" role="img" aria-label={`at most ${most} per minute`}>
        {minutes.map((m, i) => <rect x={i * 10 + 1} y={50 - (m.denied / most) * 48} width="8" height={(m.denied / most) * 48}><title>{m.denied} denied, {m.allowed} allowed</title></rect>)}
      </svg>
      <p class="quiet axis"><span>{minutes.length} minutes ago</span><span>most: {most} per minute</span><span>now</span></p>
    </section>
  );
}

export function Findings({ findings, alone }: { findings: Finding[]; alone?: boolean }) {
  if (!findings.length) return alone ? null : <section><h2>Findings</h2><Empty>The checks find nothing.</Empty></section>;
  const shown = findings.slice(0, 60);
  return (
    <section>
      {!alone && <h2>Findings</h2>}
      <ul class="problems">
        {shown.map((f) => (
          <li>
            <span class={`tag ${f.severity === "note" ? "" : "bad"}`}>{f.severity}</span>{" "}
            {!alone && (f.policy ? <b><PolicyLink name={f.policy} /></b> : <b>namespace {f.namespace}</b>)}{" "}
            {f.field && <code>{f.field}</code>} {f.message}{f.detail && ` (${f.detail})`} <span class="quiet">[{f.check}]</span>
            {f.fix && <div class="fix">Fix: {f.fix}</div>}
          </li>
        ))}
      </ul>
      {findings.length > shown.length && <p class="quiet">and {findings.length - shown.length} more; sluice lint lists all of them</p>}
    </section>
  );
}
