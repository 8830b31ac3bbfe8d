// The types of the answers, and the functions that request them.

export interface Condition { type: string; status: string; reason: string; message: string }
export interface Problem { name: string; enforced: boolean; reason: string; message: string }
export interface Finding {
  check: string; severity: "error" | "warning" | "note"; namespace: string; policy: string; field?: string;
  message: string; detail?: string; fix?: string; origin?: string;
}
export interface Minute { allowed: number; denied: number }
export interface Stream { node?: string; listening: boolean; message?: string }
export interface Overview {
  name: string; revision: number; error?: string; noStatus?: string;
  status: null | {
    enforced: boolean;
    enforcer: null | { nodes: { desired: number; ready: number }; conditions: Condition[] | null };
    nodes: { count: number; problems: Problem[] };
    policies: { count: number; problems: Problem[] };
  };
  namespaces: number; pods: number; policies: number;
  lint: { errors: number; warnings: number; notes: number; findings: Finding[] };
  notes: string[] | null; minutes: Minute[];
}
export interface Port { protocol: string; port: number; name?: string }
export interface Workload {
  ref: string; namespace: string; kind?: string; name: string; pods: string[]; ports: Port[]; assumed?: boolean;
  egress?: string[]; ingress?: string[];
}
export interface ReachMap { workloads: Workload[]; verdicts: string[] }
export interface Peer { ref: string; verdict: string; allowed?: string[]; denied?: string[] }
export interface Peers { workload: Workload; from: Peer[]; to: Peer[] }
export interface RuleRef { tier?: string; policy: string | null; rule: number | null; text?: string; ruleName?: string }
export interface NearMiss extends RuleRef { differs: string; ports?: string[]; unmatched?: boolean }
export interface Side extends RuleRef {
  verdict: string; reason: string; passed?: RuleRef[]; isolatedBy?: string[]; nearMisses?: NearMiss[];
}
export interface End { pod?: string; node?: string; address: string; template?: string }
export interface Explanation {
  verdict: string; from: End; to: End; protocol: string; port: number | null; egress: Side; ingress: Side;
  otherFamily?: Explanation; hints?: string[]; backends?: Explanation[];
  service?: { name: string; protocol: string; port: number };
}
export interface Proposal {
  verdict: string; policies: { namespace: string; name: string; direction: string; yaml: string }[];
  obstacles?: string[]; notes?: string[];
}
export interface PolicySummary {
  name: string; policyKind: string; namespace?: string; tier?: string; priority?: number; subject: string;
  ingress: boolean; egress: boolean; workloads: string[];
  errors: number; warnings: number; enforced: Condition | null;
}
export interface Rule { direction: string; index: number; action: string; text: string; line: number }
export interface PolicyDetails extends PolicySummary {
  manifest: { file?: string; line: number; text: string }; manifestError?: string; ruleList: Rule[]; findings: Finding[];
}
export interface Uses { missing?: string; rules: { direction: string; rule: number | null; use: string }[] }
export interface FlowEnd { pod?: string; workload?: string }
export interface FlowEvent {
  id: number; node?: string; time: string; verdict: string; fault?: string; protocol?: string;
  src?: string; dst?: string; srcPort?: number; dstPort?: number; egress?: Side; ingress?: Side;
  source: FlowEnd; destination: FlowEnd;
}
export interface Batch { events: FlowEvent[]; missed?: number; notes: Stream[]; last: number }
// The title of a question is shown instead of its ends.
export interface Question { from: string; to: string; port: string; protocol?: string; title?: string }

// get requests an answer. The error has the message of the server.
export async function get<T>(path: string, parameters: Record<string, string> = {}): Promise<T> {
  const query = new URLSearchParams(parameters).toString();
  return answer<T>(await fetch(`/api/${path}${query ? `?${query}` : ""}`));
}

async function answer<T>(response: Response): Promise<T> {
  const body = await response.json();
  if (!response.ok) throw new Error(body.error ?? response.statusText);
  return body as T;
}

const parameters = ({ from, to, port, protocol }: Question) => ({ from, to, port, protocol: protocol ?? "" });
export const explain = (q: Question) => get<Explanation>("explain", parameters(q));
export const allow = (q: Question) => get<Proposal>("allow", parameters(q));

export interface Cause { direction: string; policies: string[]; field?: string; change?: string; text: string }
export interface Change { effect: "Gain" | "Lose"; from: string[]; to: string[]; ports: string[]; families?: string[]; causes: Cause[] }
export interface Diff { policies: { name: string; change: string }[]; changes: Change[]; notes?: string[] }

// draft requests what would change if the manifests were applied and the policies were deleted.
export async function draft(yaml: string, deleted: string[]): Promise<Diff> {
  return answer<Diff>(await fetch("/api/draft", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ yaml, deleted }),
  }));
}

// openSession exchanges the token in the address for a session.
export async function openSession(): Promise<void> {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", "#/overview");
  const response = await fetch("/api/session", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }),
  });
  if (!response.ok) await answer(response);
}
