import assert from "node:assert/strict";
import { test } from "node:test";
import { longer, Memory, renewed, type List, type Page } from "./list.ts";

const page = (ids: string, endCursor: string | null): Page<{ id: string }> => ({
  nodes: [...ids].map((id) => ({ id })),
  pageInfo: { hasNextPage: endCursor !== null, endCursor },
});
const shown = (list: List<{ id: string }>) => [list.items.map((each) => each.id).join(""), list.cursor, list.hasMore];

test("a list grows page by page", () => {
  const list = longer(longer(undefined, page("abc", "c")), page("de", null));
  assert.deepEqual(shown(list), ["abcde", null, false]);
});

test("loading the beginning anew keeps what follows it", () => {
  const list = longer(longer(undefined, page("bcd", "d")), page("ef", "f"));
  assert.deepEqual(shown(renewed(list, page("abc", "c"))), ["abcdef", "f", true]);
});

test("what is no longer there goes", () => {
  const list = longer(undefined, page("abcd", "d"));
  assert.deepEqual(shown(renewed(list, page("acd", null))), ["acd", null, false]);
  assert.deepEqual(shown(renewed(list, page("", null))), ["", null, false]);
});

test("a beginning that does not lead on to the rest stands alone", () => {
  const list = longer(undefined, page("abcd", "d"));
  assert.deepEqual(shown(renewed(list, page("xyz", "z"))), ["xyz", "z", true]);
  assert.deepEqual(shown(renewed(undefined, page("ab", "b"))), ["ab", "b", true]);
  assert.deepEqual(shown(renewed(list, page("abcd", "new"))), ["abcd", "new", true]);
});

test("the list that was not looked at for longest is forgotten", () => {
  const memory = new Memory(2);
  const list = longer(undefined, page("a", null));
  for (const key of ["one", "two", "one", "three"]) memory.keep(key, list);
  assert.deepEqual(
    ["one", "two", "three"].map((key) => memory.get(key) !== undefined),
    [true, false, true],
  );
});
