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

self.onmessage = async (event: MessageEvent<File>) => {
  const file = event.data;
  const hashers = { md5: md5.create(), sha1: sha1.create(), sha256: sha256.create() };
  for (let offset = 0; offset < file.size; offset += CHUNK) {
    const chunk = new Uint8Array(await file.slice(offset, offset + CHUNK).arrayBuffer());
    for (const hasher of Object.values(hashers)) hasher.update(chunk);
    self.postMessage({ hashed: Math.min(offset + CHUNK, file.size) });
  }
  const hashes: Hashes = {
    md5: bytesToHex(hashers.md5.digest()),
    sha1: bytesToHex(hashers.sha1.digest()),
    sha256: bytesToHex(hashers.sha256.digest()),
  };
  self.postMessage({ hashes });
};
