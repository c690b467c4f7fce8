/** Hashes a file three ways in one pass, away from the page's own thread. */
import { md5, sha1 } from "@noble/hashes/legacy.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

const CHUNK = 4 * 1024 * 1024;

export interface Hashes {
  md5: string;
  sha1: string;
  sha256: string;
}

/** What the worker says: how far it is, and then the hashes, or what kept it from reading the file. */
export type Heard = { hashed: number } | { hashes: Hashes } | { fault: string };

const say = (heard: Heard) => self.postMessage(heard);

self.onmessage = (event: MessageEvent<File>) => {
  hash(event.data).then(
    (hashes) => say({ hashes }),
    (error: unknown) => say({ fault: error instanceof Error ? error.message : String(error) }),
  );
};

async function hash(file: File): Promise<Hashes> {
  const hashers = { md5: md5.create(), sha1: sha1.create(), sha256: sha256.create() };
  for (let offset = 0; offset < file.size; offset += CHUNK) {
    const chunk = new Uint8Array(await file.slice(offset, offset + CHUNK).arrayBuffer());
    for (const hasher of Object.values(hashers)) hasher.update(chunk);
    say({ hashed: Math.min(offset + CHUNK, file.size) });
  }
  return {
    md5: bytesToHex(hashers.md5.digest()),
    sha1: bytesToHex(hashers.sha1.digest()),
    sha256: bytesToHex(hashers.sha256.digest()),
  };
}
