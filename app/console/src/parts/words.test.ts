import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bare, isId, nameFault, size } from "./words.ts";

test("sizes are said in the unit that fits", () => {
  assert.equal(size("999"), "999 B");
  assert.equal(size(28_900), "28.9 kB");
  assert.equal(size("5000000000000"), "5.0 TB");
});

test("what is recent is said as how long ago", () => {
  const now = Date.parse("2026-03-15T12:00:00Z");
  assert.match(ago("2026-03-15T11:55:00Z", now), /5/);
  assert.match(ago("2025-03-15T12:00:00Z", now), /2025/);
});

test("an alias's name is checked as the server checks it", () => {
  assert.equal(nameFault("model-prod.v2_x"), null);
  assert.match(nameFault("") ?? "", /name/);
  assert.match(nameFault("-a") ?? "", /begin/);
  assert.match(nameFault("a b") ?? "", /Only/);
  assert.match(nameFault("a".repeat(129)) ?? "", /129/);
  assert.match(nameFault("0".repeat(32)) ?? "", /id/);
});

test("ids are told from aliases", () => {
  assert.ok(isId("01a1fe97-55b3-7fc8-9599-b12a16e25262"));
  assert.ok(!isId("{01a1fe97-55b3-7fc8-9599-b12a16e25262}"));
  assert.equal(bare(" datum://model-prod "), "model-prod");
});
