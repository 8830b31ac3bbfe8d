import { useEffect, useState } from "preact/hooks";
import { useAnswer } from "./answer";
import { Change, Diff, draft } from "./api";
import { CopyButton, Linked } from "./common";
import { useStore } from "./store";

// DELAY is the time in milliseconds after the last change of a draft until it is compared.
const DELAY = 250;

// Editor shows a draft, and what would change if it were applied.
export function Editor({ text, name }: { text: string; name: string }) {
  const [yaml, setYaml] = useState(text);
  const { overview } = useStore();
  const [result, setResult] = useState<{ diff?: Diff; error?: string }>({});
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => draft(yaml, []).then(
      (diff) => current && setResult({ diff }),
      (e: Error) => current && setResult({ error: e.message }),
    ), DELAY);
    return () => { current = false; clearTimeout(timer); };
  }, [yaml, overview?.revision]);
  return (
    <>
      <h2>{name ? `Draft of ${name}` : "New draft"} <CopyButton text={yaml} /></h2>
      <p class="quiet">The draft is not applied. While you type, the list shows what would change.</p>
      <div class="draft">
        <textarea aria-label="draft" spellcheck={false} value={yaml} onInput={(e) => setYaml(e.currentTarget.value)} />
        <div aria-live="polite" class="result">
          {result.error ? <p class="error lines">{result.error}</p> : result.diff ? <Changes diff={result.diff} /> : <p class="quiet">…</p>}
        </div>
      </div>
    </>
  );
}

// Deletion shows what would change if a policy were deleted, after the user requests it.
export function Deletion({ name }: { name: string }) {
  const [requested, setRequested] = useState(false);
  return (
    <>
      <button type="button" class="deletion" onClick={() => setRequested(true)}>What would change if I delete it?</button>
      {requested && <EffectOfDeletion name={name} />}
    </>
  );
}

function EffectOfDeletion({ name }: { name: string }) {
  const { answer, error } = useAnswer(name, () => draft("", [name]));
  return <div class="result">{error ? <span class="error lines">{error}</span> : answer && <Changes diff={answer} />}</div>;
}

const names = (list: string[]) => (list.length > 6 ? `${list.slice(0, 6).join(", ")} and ${list.length - 6} more` : list.join(", "));

function Changes({ diff }: { diff: Diff }) {
  const lost = diff.changes.filter((c) => c.effect === "Lose"), gained = diff.changes.filter((c) => c.effect === "Gain");
  return (
    <>
      {!diff.changes.length && <p>No verdict changes.</p>}
      {lost.length > 0 && <><h3>✕ Newly denied</h3><ul class="changes">{lost.map((c) => <Row c={c} />)}</ul></>}
      {gained.length > 0 && <><h3>✓ Newly allowed</h3><ul class="changes">{gained.map((c) => <Row c={c} />)}</ul></>}
      {diff.notes?.map((n) => <p class="hint">{n}</p>)}
    </>
  );
}

function Row({ c }: { c: Change }) {
  return (
    <li class={c.effect}>
      <b>{names(c.from)}</b> → <b>{names(c.to)}</b> on {c.ports.join(", ")}{c.families?.length ? ` (only ${c.families.join(", ")})` : ""}
      {c.causes.map((cause) => <div class="quiet">{cause.direction}: <Linked text={cause.text} names={cause.policies} /></div>)}
    </li>
  );
}
