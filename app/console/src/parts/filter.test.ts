import assert from "node:assert/strict";
import { test } from "node:test";
import { asInput, readFilter, splitProperty, writeFilter } from "./filter.ts";

test("a filter survives the address bar", () => {
  const address =
    "q=model&tag=a&tag=b+c&property=accuracy%3D0.9&property=name%3D%22x%22&origin=UPLOAD&since=2026-03-15";
  const filter = readFilter(new URLSearchParams(address));
  assert.deepEqual(filter.tags, ["a", "b c"]);
  assert.deepEqual(filter.properties, { accuracy: 0.9, name: "x" });
  assert.deepEqual(readFilter(writeFilter(filter)), filter);
});

test("what is not set is not asked for, and nonsense is left out", () => {
  assert.deepEqual(asInput(readFilter(new URLSearchParams("origin=NONSENSE&since=yesterday&until=2026-13-45"))), {});
});

test("the last day belongs to it", () => {
  const { createdAt } = asInput(readFilter(new URLSearchParams("since=2026-03-15&until=2026-03-15")));
  assert.equal(Date.parse(createdAt?.lt ?? "") - Date.parse(createdAt?.gte ?? ""), 86_400_000);
});

test("a property's value is JSON, or else text", () => {
  assert.deepEqual(splitProperty("a=1"), ["a", 1]);
  assert.deepEqual(splitProperty("a=b=c"), ["a", "b=c"]);
  assert.deepEqual(splitProperty("a"), ["a", ""]);
});
