/** Uploads: hashed in a worker, sent straight to the store in parts. They go on while one looks at other views. */
import { ask, change, Failure } from "../api.ts";
import { graphql } from "../graphql.ts";
import type { Hashes, Heard } from "./hashing.worker.ts";
import { asFailure } from "./loading.ts";
import { unique } from "./words.ts";

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

export type Stage = "waiting" | "hashing" | "sending" | "checking" | "done" | "failed" | "cancelled";

export interface Sending {
  key: string;
  project: string;
  file: File;
  stage: Stage;
  /** Bytes that the stage is through with. */
  done: number;
  failure?: Failure | undefined;
  /** What was begun and can be gone on with. */
  upload?: string | undefined;
}

class Cancelled extends Error {}

// a link is kept busy, and the page alive
const AT_ONCE = 2;
const TRIES = 3;
const ACTIVE: ReadonlySet<Stage> = new Set(["waiting", "hashing", "sending", "checking"]);

/** All uploads of this page, whichever view began them. */
class Uploads {
  private sendings: readonly Sending[] = [];
  private readonly controls = new Map<string, AbortController>();
  private readonly watchers = new Set<() => void>();
  private running = 0;

  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  readonly all = (): readonly Sending[] => this.sendings;

  add(project: string, files: Iterable<File>): void {
    const added = Array.from(files, (file): Sending => ({ key: unique(), project, file, stage: "waiting", done: 0 }));
    this.set([...this.sendings, ...added]);
    this.next();
  }

  retry(key: string): void {
    this.update(key, { stage: "waiting", done: 0, failure: undefined });
    this.next();
  }

  cancel(key: string): void {
    this.controls.get(key)?.abort();
    if (this.find(key)?.stage === "waiting") this.update(key, { stage: "cancelled" });
  }

  clear(): void {
    this.set(this.sendings.filter((each) => each.stage !== "done" && each.stage !== "cancelled"));
  }

  /** For when somebody else signs in. */
  end(): void {
    for (const each of this.sendings) this.cancel(each.key);
    this.set([]);
  }

  private next(): void {
    while (this.running < AT_ONCE) {
      const sending = this.sendings.find((each) => each.stage === "waiting");
      if (!sending) return;
      this.running += 1;
      void this.send(sending).finally(() => {
        this.running -= 1;
        this.next();
      });
    }
  }

  private async send({ key, project, file, upload }: Sending): Promise<void> {
    const control = new AbortController();
    const { signal } = control;
    this.controls.set(key, control);
    try {
      if (!upload) {
        this.update(key, { stage: "hashing" });
        const hashes = await hash(file, signal, (done) => this.update(key, { done }));
        heed(signal);
        const input = { project, name: file.name, size: String(file.size), mediaType: file.type || null, ...hashes };
        upload = (await change(REQUEST, { input })).requestUpload.upload.id;
        this.update(key, { upload });
      }
      const begun = upload;
      this.update(key, { stage: "sending", done: 0 });
      await patiently(signal, () => sendParts(begun, file, signal, (done) => this.update(key, { done })));
      this.update(key, { stage: "checking", done: file.size });
      await change(COMPLETE, { input: { upload } });
      this.update(key, { stage: "done" });
    } catch (error) {
      const failure = asFailure(error);
      const isGone = failure.code === "NOT_FOUND" || failure.code === "WRONG_STATE";
      if (error instanceof Cancelled) {
        if (upload) void change(ABORT, { input: { upload } }).catch(() => undefined);
        this.update(key, { stage: "cancelled", upload: undefined });
      } else this.update(key, { stage: "failed", failure, ...(isGone ? { upload: undefined } : {}) });
    } finally {
      this.controls.delete(key);
    }
  }

  private find(key: string): Sending | undefined {
    return this.sendings.find((each) => each.key === key);
  }

  private update(key: string, values: Partial<Sending>): void {
    this.set(this.sendings.map((each) => (each.key === key ? { ...each, ...values } : each)));
  }

  private set(sendings: readonly Sending[]): void {
    this.sendings = sendings;
    const isActive = sendings.some((each) => ACTIVE.has(each.stage));
    // who closes the page meanwhile is asked first
    if (isActive) addEventListener("beforeunload", confirmLeaving);
    else removeEventListener("beforeunload", confirmLeaving);
    for (const watcher of this.watchers) watcher();
  }
}

const confirmLeaving = (event: Event) => event.preventDefault();

export const uploads = new Uploads();

/** Tries again what may go on where it broke off. */
async function patiently(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    heed(signal);
    try {
      return await work();
    } catch (error) {
      if (error instanceof Cancelled || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, attempt * 1000));
    }
  }
}

function heed(signal: AbortSignal): void {
  if (signal.aborted) throw new Cancelled();
}

function hash(file: File, signal: AbortSignal, hashed: (bytes: number) => void): Promise<Hashes> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./hashing.worker.ts", import.meta.url), { type: "module" });
    signal.addEventListener("abort", () => {
      worker.terminate();
      reject(new Cancelled());
    });
    worker.onmessage = ({ data }: MessageEvent<Heard>) => {
      if ("hashed" in data) return hashed(data.hashed);
      worker.terminate();
      if ("hashes" in data) resolve(data.hashes);
      else reject(new Failure(`The file cannot be read: ${data.fault}`));
    };
    worker.onerror = (event) => {
      worker.terminate();
      reject(new Failure(`The hashes cannot be computed here: ${event.message}`));
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
      heed(signal);
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
