import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Answer } from "./answer";
import { Question, openSession } from "./api";
import { useHash } from "./common";
import { FlowsPage } from "./flows";
import { MapPage } from "./map";
import { OverviewPage } from "./overview";
import { PoliciesPage } from "./policies";
import { fail, start, useStore } from "./store";

const VIEWS = [["/overview", "Overview"], ["/map", "Map"], ["/flows", "Flows"], ["/policies", "Policies"]] as const;

function App() {
  const { overview, error } = useStore();
  const [path, parameters] = useHash();
  const [question, setQuestion] = useState<Question>();
  const ask = (from: string, to: string, port = "") => setQuestion({ from, to, port });
  useEffect(() => {
    const escape = (e: KeyboardEvent) => { if (e.key === "Escape") setQuestion(undefined); };
    addEventListener("keydown", escape);
    return () => removeEventListener("keydown", escape);
  }, []);
  useEffect(() => setQuestion(undefined), [path, parameters.toString()]);
  return (
    <>
      <a class="skip" href="#main">Skip to the content</a>
      <header>
        <span class="brand">Sluice <span class="quiet">{overview?.name}</span></span>
        <nav aria-label="views">
          {VIEWS.map(([to, title]) => <a href={`#${to}`} aria-current={path === to ? "page" : undefined}>{title}</a>)}
        </nav>
        <Ask ask={ask} />
      </header>
      {error && <p class="error" role="alert">{error}</p>}
      <div id="main" tabIndex={-1}>
        {path === "/overview" && <OverviewPage />}
        {path === "/map" && <MapPage parameters={parameters} ask={ask} />}
        {path === "/flows" && <FlowsPage key={parameters.toString()} parameters={parameters} ask={setQuestion} />}
        {path === "/policies" && <PoliciesPage parameters={parameters} />}
      </div>
      {question && <AnswerPanel question={question} close={() => setQuestion(undefined)} />}
    </>
  );
}

// Ask is the form for a question about two ends.
function Ask({ ask }: { ask: (from: string, to: string, port: string) => void }) {
  const { map } = useStore();
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [port, setPort] = useState("");
  const submit = (e: Event) => {
    e.preventDefault();
    if (from && to) ask(from, to, port);
  };
  return (
    <form class="ask" role="search" aria-label="Can one workload reach another?" onSubmit={submit}>
      <span class="quiet">Can</span>
      <input name="from" list="workloads" aria-label="from" placeholder="workload, pod, address" value={from} onInput={(e) => setFrom(e.currentTarget.value)} />
      <span class="quiet">reach</span>
      <input name="to" list="workloads" aria-label="to" placeholder="workload, svc, address" value={to} onInput={(e) => setTo(e.currentTarget.value)} />
      <input name="port" class="port" aria-label="port" placeholder="port" value={port} onInput={(e) => setPort(e.currentTarget.value)} />
      <button type="submit">Why?</button>
      <datalist id="workloads">{map?.workloads.map((w) => <option value={w.ref} />)}</datalist>
    </form>
  );
}

function AnswerPanel({ question, close }: { question: Question; close: () => void }) {
  const panel = useRef<HTMLElement>(null);
  useEffect(() => panel.current?.focus(), [question]);
  return (
    <aside class="panel over" ref={panel} tabIndex={-1} aria-label="answer" id="answer">
      <button type="button" class="close" aria-label="Close" onClick={close}>✕</button>
      <h2>{question.title ?? `Can ${question.from} reach ${question.to}?`}</h2>
      <Answer key={JSON.stringify(question)} question={question} />
    </aside>
  );
}

// openSession removes the token from the address before the first rendering reads it.
const session = openSession();
render(<App />, document.getElementById("app")!);
session.then(start).catch((e: Error) => fail(e.message));
