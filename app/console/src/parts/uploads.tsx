/** How the uploads of this page are getting on. */
import { useEffect, useRef, useSyncExternalStore } from "react";
import { uploads, type Stage } from "./uploading.ts";
import { size } from "./words.ts";

const words: Record<Stage, string> = {
  waiting: "waiting",
  hashing: "computing hashes",
  sending: "sending",
  checking: "checking what arrived",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
};

export function Sendings() {
  const sendings = useSyncExternalStore(uploads.watch, uploads.all);
  if (sendings.length === 0) return null;
  return (
    <section className="sendings" aria-label="Uploads">
      <ul>
        {sendings.map((each) => (
          <li key={each.key}>
            <span>
              {each.file.name} <span className="quiet">({size(each.file.size)})</span>
            </span>
            <progress
              aria-label={`${each.file.name}: ${words[each.stage]}`}
              max={each.file.size || 1}
              value={each.stage === "done" ? each.file.size || 1 : each.done}
            />
            <span role="status">
              {words[each.stage]}
              {each.failure && `: ${each.failure.message}`}
            </span>
            {(each.stage === "waiting" || each.stage === "hashing" || each.stage === "sending") && (
              <button type="button" className="small" onClick={() => uploads.cancel(each.key)}>
                Cancel
              </button>
            )}
            {(each.stage === "failed" || each.stage === "cancelled") && (
              <button type="button" className="small" onClick={() => uploads.retry(each.key)}>
                Try again
              </button>
            )}
          </li>
        ))}
      </ul>
      <button type="button" className="small" onClick={() => uploads.clear()}>
        Clear what is done
      </button>
    </section>
  );
}

/** Calls `act` when a file has arrived. */
export function useArrivals(act: () => void): void {
  const newest = useRef(act);
  newest.current = act;
  useEffect(() => {
    const count = () => uploads.all().filter((each) => each.stage === "done").length;
    let known = count();
    return uploads.watch(() => {
      const now = count();
      if (now > known) newest.current();
      known = now;
    });
  }, []);
}
