import { useEffect, useState } from "preact/hooks";
import { Explanation, NearMiss, PolicyDetails, Proposal, Question, Side, allow, explain, get } from "./api";
import { CopyButton, PolicyLink, PolicyLinks, Verdict, Yaml, count, lastLine, portText, verdict } from "./common";
import { useStore } from "./store";

// useAnswer requests an answer when the key or the objects change.
export function useAnswer<T>(key: string, request: () => Promise<T>) {
  const { overview } = useStore();
  return useRequest(key, String(overview?.revision), request);
}

// useRequest requests an answer when the key or the version changes. It returns the previous answer
// for the same key until the next answer arrives.
export function useRequest<T>(key: string, version: string, request: () => Promise<T>): { answer?: T; error?: string } {
  const [result, setResult] = useState<{ key: string; answer?: T; error?: string }>({ key: "" });
  useEffect(() => {
    let current = true;
    request().then(
      (answer) => current && setResult({ key, answer }),
      (e: Error) => current && setResult({ key, error: e.message }),
    );
    return () => { current = false; };
  }, [key, version]);
  return result.key === key ? result : {};
}

// Answer answers whether a flow is allowed. Without a port, it answers for each port of the
// destination.
export function Answer({ question }: { question: Question }) {
  const { map } = useStore();
  if (question.port) return <OnePort question={question} open />;
  const to = map?.workloads.find((w) => w.ref === question.to);
  if (!to) return <OnePort question={{ ...question, port: "80" }} open />;
  return (
    <>
      {to.assumed && <p class="quiet">No port of {to.ref} is known, so this is the answer for TCP port 80.</p>}
      {to.ports.map((p) => (
        <OnePort key={portText(p)} question={{ ...question, port: String(p.port), protocol: p.protocol }} open={to.ports.length === 1} />
      ))}
    </>
  );
}

function OnePort({ question, open }: { question: Question; open: boolean }) {
  const { answer, error } = useAnswer(JSON.stringify(question), () => explain(question));
  if (error) return <p class="error" role="alert">{error}</p>;
  if (!answer) return <p class="quiet">…</p>;
  return (
    <details class={`answer ${verdict(answer.verdict).kind}`} open={open || answer.verdict !== "Allow"}>
      <summary>
        <Verdict of={answer.verdict} />{" "}
        <b>{answer.service ? `Service ${answer.service.name}` : endName(answer.to)}</b> on{" "}
        {answer.port === null ? answer.protocol : `${answer.protocol} port ${answer.service?.port ?? answer.port}`}
      </summary>
      {answer.service && answer.backends && (
        <p class="quiet">
          The Service translates to {count(answer.backends.length, "backend")} on port {answer.port}.
        </p>
      )}
      <Sides e={answer} />
      {answer.otherFamily && <><h4>Over IPv6</h4><Sides e={answer.otherFamily} /></>}
      {answer.hints?.map((hint) => <p class="hint">{hint}</p>)}
      {answer.verdict !== "Allow" && <Allow question={question} />}
    </details>
  );
}

const endName = (e: { pod?: string; address: string }) => e.pod || e.address;

function Sides({ e }: { e: Explanation }) {
  return (
    <>
      <SideText title={`Egress from ${endName(e.from)}`} direction="egress" side={e.egress} />
      <SideText title={`Ingress to ${endName(e.to)}`} direction="ingress" side={e.ingress} />
    </>
  );
}

const REASONS: Record<string, string> = {
  NotIsolated: "No policy isolates the pod in this direction.",
  External: "The address is outside the cluster or belongs to a node. No policy applies there.",
  SameNode: "No policy denies traffic from the pod's own node, so that probes work.",
  SamePod: "NetworkPolicies do not apply to traffic from a pod to itself.",
  Elsewhere: "Another node evaluates this side.",
};

function SideText({ title, direction, side }: { title: string; direction: string; side: Side }) {
  return (
    <section class="side">
      <h4><Verdict of={side.verdict} short /> {title} is {verdict(side.verdict).word}</h4>
      {side.policy && side.rule !== null && (
        <>
          <p>By {side.tier ? `the ${side.tier} tier, ` : ""}rule {direction}[{side.rule}] of <PolicyLink name={side.policy} rule={{ direction, index: side.rule }} />: {side.text}</p>
          <RuleText policy={side.policy} direction={direction} index={side.rule} />
        </>
      )}
      {side.reason === "NoRuleMatched" && (
        <p>The pod is isolated for {direction} by <PolicyLinks names={side.isolatedBy ?? []} />, and no rule allows this flow.</p>
      )}
      {REASONS[side.reason] && !side.policy && <p>{REASONS[side.reason]}</p>}
      {side.nearMisses?.slice(0, 4).map((miss) => <Near miss={miss} direction={direction} />)}
    </section>
  );
}

function Near({ miss, direction }: { miss: NearMiss; direction: string }) {
  const why = miss.unmatched ? "its peers match no pod at all" : miss.differs === "port" ? "the peer matches, but not the port" : "the port matches, but not the peer";
  return (
    <div class="near">
      <p>Near miss: rule {direction}[{miss.rule}] of <PolicyLink name={miss.policy!} rule={{ direction, index: miss.rule! }} />: {why}{miss.ports?.length ? ` (it allows ${miss.ports.join(", ")})` : ""}.</p>
      <RuleText policy={miss.policy!} direction={direction} index={miss.rule!} />
    </div>
  );
}

// RuleText shows the lines of a rule in its manifest.
function RuleText({ policy, direction, index }: { policy: string; direction: string; index: number }) {
  const { answer } = useAnswer(`${policy} ${direction} ${index}`, () => get<PolicyDetails>("policy", { name: policy }));
  const rule = answer?.ruleList.find((r) => r.direction === direction && r.index === index);
  if (!answer || !rule?.line) return null;
  const { text, line, file } = answer.manifest;
  return (
    <>
      {file && <p class="quiet place">{file}:{line + rule.line - 1}</p>}
      <Yaml text={text} first={line} from={rule.line} to={lastLine(text, rule.line)} only />
    </>
  );
}

// Allow shows the policies that would allow a flow, after the user requests them.
function Allow({ question }: { question: Question }) {
  const [proposal, setProposal] = useState<Proposal>();
  const [error, setError] = useState("");
  if (error) return <p class="error">{error}</p>;
  if (!proposal) {
    return <button type="button" class="allow-button" onClick={() => allow(question).then(setProposal, (e: Error) => setError(e.message))}>What would allow this?</button>;
  }
  const text = proposal.policies.map((p) => p.yaml).join("---\n");
  return (
    <section class="proposal">
      {proposal.obstacles?.map((o) => <p class="hint">{o}</p>)}
      {text && (
        <>
          <h4>{proposal.policies.length === 1 ? "This policy" : "These two policies"} would allow the flow</h4>
          <p class="quiet">The page applies nothing. Copy the text, and review it before you apply it.</p>
          <div class="copy"><CopyButton text={text} /></div>
          <Yaml text={text} first={1} />
        </>
      )}
      {proposal.notes?.map((n) => <p class="hint">{n}</p>)}
    </section>
  );
}
