import { useEffect, useState } from "preact/hooks";
import { Batch, FlowEvent, Overview, PolicySummary, ReachMap, Stream, get } from "./api";

// These constants are times in milliseconds.
const POLL = 5000;
const FLOWS_KEPT = 2000;

// State is everything that views share. A field is undefined until its first answer.
export interface State {
  overview?: Overview; map?: ReachMap; policies?: PolicySummary[]; flows: FlowEvent[]; streams: Stream[];
  missed: number; error?: string; mapError?: string;
}

let state: State = { flows: [], streams: [], missed: 0 };
const listeners = new Set<() => void>();
const texts = new Map<string, string>();

function set(change: Partial<State>) {
  state = { ...state, ...change };
  listeners.forEach((listener) => listener());
}

// useStore returns the state, and renders again when it changes.
export function useStore(): State {
  const [, render] = useState(0);
  useEffect(() => {
    const listener = () => render((n) => n + 1);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return state;
}

// changed reports whether an answer differs from the previous answer under the same name.
function changed(name: string, answer: unknown): boolean {
  const text = JSON.stringify(answer);
  if (texts.get(name) === text) return false;
  texts.set(name, text);
  return true;
}

async function load() {
  try {
    const overview = await get<Overview>("overview");
    if (changed("overview", overview) || state.error) set({ overview, error: undefined });
    const { policies } = await get<{ policies: PolicySummary[] }>("policies");
    if (changed("policies", policies)) set({ policies });
  } catch (e) {
    set({ error: (e as Error).message });
  }
  try {
    const map = await get<ReachMap>("map");
    if (changed("map", map) || state.mapError) set({ map, mapError: undefined });
  } catch (e) {
    set({ mapError: (e as Error).message });
  }
}

// poll loads all answers again and again. It waits for the answers before it starts the next timer, so
// that a slow server never gets two polls at a time.
async function poll() {
  if (!document.hidden) await load();
  setTimeout(poll, POLL);
}

// start subscribes to the flows, and begins to poll. It subscribes first, so that the nodes report
// flows while the other answers are computed.
export function start() {
  const stream = new EventSource("/api/flows");
  stream.onmessage = (message) => {
    const batch = JSON.parse(message.data) as Batch;
    const flows = batch.events.length ? [...state.flows, ...batch.events].slice(-FLOWS_KEPT) : state.flows;
    set({ flows, streams: batch.notes, missed: state.missed + (batch.missed ?? 0) });
  };
  void poll();
}

export function fail(message: string) { set({ error: message }); }
