/** Uploads: hashed in a worker, sent straight to the store in parts, each file with its progress. */
import { useCallback, useRef, useState } from "react";
import { ask, change, Failure } from "../api.ts";
import { graphql } from "../graphql.ts";
import { useProject } from "../session.ts";
import type { Hashes } from "./hashing.worker.ts";
import { asFailure } from "./loading.ts";
import { size, unique } from "./words.ts";

const REQUEST = graphql(`
  mutation RequestUpload($input: RequestUploadInput!) {
    requestUpload(input: $input) {
      upload {
        id
      }
      datum {
        id
      }
    }
  }
`);
const PARTS = graphql(`
  query UploadParts($id: ID!, $after: String) {
    upload(id: $id) {
      parts(first: 100, after: $after) {
        nodes {
          number
          offset
          size
          received
          method
          url
          headers {
            name
            value
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);
const COMPLETE = graphql(`
  mutation CompleteUpload($input: CompleteUploadInput!) {
    completeUpload(input: $input) {
      datum {
        id
      }
    }
  }
`);
const ABORT = graphql(`
  mutation AbortUpload($input: AbortUploadInput!) {
    abortUpload(input: $input) {
      datum {
        id
      }
    }
  }
`);

type Stage = "waiting" | "hashing" | "sending" | "checking" | "done" | "failed" | "cancelled";

export interface Sending {
  key: string;
  file: File;
  stage: Stage;
  done: number;
  failure?: Failure | undefined;
  datum?: string;
}

class Cancelled extends Error {}

export function useUploads(arrived: () => void): {
  sendings: readonly Sending[];
  add: (files: Iterable<File>) => void;
  retry: (key: string) => void;
  cancel: (key: string) => void;
  clear: () => void;
} {
  const project = useProject();
  const [sendings, setSendings] = useState<readonly Sending[]>([]);
  const controls = useRef(new Map<string, AbortController>());
  const newest = useRef(arrived);
  newest.current = arrived;
  const update = useCallback(
    (key: string, values: Partial<Sending>) =>
      setSendings((before) => before.map((each) => (each.key === key ? { ...each, ...values } : each))),
    [],
  );

  const send = useCallback(
    async (key: string, file: File) => {
      const control = new AbortController();
      controls.current.set(key, control);
      let upload: string | undefined;
      try {
        update(key, { stage: "hashing", done: 0, failure: undefined });
        const hashes = await hash(file, control.signal, (done) => update(key, { done }));
        const requested = await change(REQUEST, {
          input: {
            project: project.id,
            name: file.name,
            size: String(file.size),
            mediaType: file.type || null,
            ...hashes,
          },
        });
        upload = requested.requestUpload.upload.id;
        update(key, { stage: "sending", done: 0 });
        await sendParts(upload, file, control.signal, (done) => update(key, { done }));
        update(key, { stage: "checking", done: file.size });
        await change(COMPLETE, { input: { upload } });
        update(key, { stage: "done", datum: requested.requestUpload.datum.id });
        newest.current();
      } catch (error) {
        if (upload) void change(ABORT, { input: { upload } }).catch(() => undefined);
        if (error instanceof Cancelled) update(key, { stage: "cancelled" });
        else update(key, { stage: "failed", failure: asFailure(error) });
      } finally {
        controls.current.delete(key);
      }
    },
    [project.id, update],
  );

  return {
    sendings,
    add: (files) => {
      const added: Sending[] = Array.from(files, (file) => ({
        key: unique(),
        file,
        stage: "waiting",
        done: 0,
      }));
      setSendings((before) => [...before, ...added]);
      void (async () => {
        // two at once keep a link busy, and the page alive
        const queue = [...added];
        const lane = async () => {
          for (let next = queue.shift(); next; next = queue.shift()) await send(next.key, next.file);
        };
        await Promise.all([lane(), lane()]);
      })();
    },
    retry: (key) => {
      const sending = sendings.find((each) => each.key === key);
      if (sending) void send(key, sending.file);
    },
    cancel: (key) => controls.current.get(key)?.abort(),
    clear: () => setSendings((before) => before.filter((each) => each.stage !== "done" && each.stage !== "cancelled")),
  };
}

function hash(file: File, signal: AbortSignal, hashed: (bytes: number) => void): Promise<Hashes> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./hashing.worker.ts", import.meta.url), { type: "module" });
    signal.addEventListener("abort", () => {
      worker.terminate();
      reject(new Cancelled());
    });
    worker.onmessage = (event: MessageEvent<{ hashed?: number; hashes?: Hashes }>) => {
      if (event.data.hashed !== undefined) hashed(event.data.hashed);
      if (event.data.hashes) {
        worker.terminate();
        resolve(event.data.hashes);
      }
    };
    worker.onerror = (event) => {
      worker.terminate();
      reject(new Failure(`The file cannot be read: ${event.message}`));
    };
    worker.postMessage(file);
  });
}

async function sendParts(
  upload: string,
  file: File,
  signal: AbortSignal,
  sent: (bytes: number) => void,
): Promise<void> {
  let after: string | null = null;
  let before = 0;
  for (;;) {
    const page: Awaited<ReturnType<typeof parts>> = await parts(upload, after);
    for (const part of page.nodes) {
      const start = Number(part.offset);
      const end = start + Number(part.size);
      if (!part.received) await put(part, file.slice(start, end), signal, (bytes) => sent(before + bytes));
      before += end - start;
      sent(before);
    }
    if (!page.pageInfo.hasNextPage) return;
    after = page.pageInfo.endCursor;
  }
}

async function parts(upload: string, after: string | null) {
  const found = await ask(PARTS, { id: upload, after });
  if (!found.upload) throw new Failure("The upload is gone; send the file again.");
  return found.upload.parts;
}

/** fetch tells nothing of how much was sent, so this is an XMLHttpRequest. */
function put(
  part: { url: string; method: string; headers: readonly { name: string; value: string }[] },
  body: Blob,
  signal: AbortSignal,
  sent: (bytes: number) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(part.method, part.url);
    for (const { name, value } of part.headers) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => sent(event.loaded);
    // one that is there already was sent before; the end of the upload tells whether it is right
    request.onload = () =>
      request.status < 300 || request.status === 409 || request.status === 412
        ? resolve()
        : reject(new Failure(`The store answered ${request.status}.`));
    request.onerror = () =>
      reject(
        new Failure(
          "The store cannot be reached from this browser. Its bucket may need a CORS rule, and the server WAYMARK_UPLOAD_ORIGINS.",
        ),
      );
    signal.addEventListener("abort", () => {
      request.abort();
      reject(new Cancelled());
    });
    request.send(body);
  });
}

const words: Record<Stage, string> = {
  waiting: "waiting",
  hashing: "computing hashes",
  sending: "sending",
  checking: "checking what arrived",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
};

export function Sendings({ uploads }: { uploads: ReturnType<typeof useUploads> }) {
  if (uploads.sendings.length === 0) return null;
  return (
    <section className="sendings" aria-label="Uploads">
      <ul>
        {uploads.sendings.map((each) => (
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
            {(each.stage === "hashing" || each.stage === "sending") && (
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
      <button type="button" className="small" onClick={uploads.clear}>
        Clear what is done
      </button>
    </section>
  );
}
