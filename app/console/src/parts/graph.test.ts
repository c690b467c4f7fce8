import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, merged } from "./graph.ts";

const edge = (from: string, to: string, inputName: string | null = null) => ({ from, to, inputName });

test("a path goes up and down, and not to what merely shares an end with it", () => {
  const edges = [edge("raw", "train"), edge("train", "model"), edge("model", "predict"), edge("other", "predict")];
  assert.deepEqual([...connected(edges, "train")].sort(), ["model", "predict", "raw", "train"]);
  assert.deepEqual([...connected(edges, "other")].sort(), ["other", "predict"]);
});

test("a path that was reached on the way up is followed down too if it lies there", () => {
  const edges = [edge("a", "b"), edge("b", "c"), edge("a", "c")];
  assert.deepEqual([...connected(edges, "b")].sort(), ["a", "b", "c"]);
});

test("what is expanded joins what is there, each thing once", () => {
  const node = (id: string, depth: number) => ({ subject: { id }, depth });
  const first = { truncated: false, nodes: [node("a", 0), node("b", 1)], edges: [edge("a", "b", "images")] };
  const second = {
    truncated: true,
    nodes: [node("b", 0), node("c", 1)],
    edges: [edge("a", "b", "images"), edge("a", "b", "labels"), edge("b", "c")],
  };
  const both = merged(first, second);
  assert.deepEqual(
    both.nodes.map((each) => [each.subject.id, each.depth]),
    [
      ["b", 1],
      ["c", 1],
      ["a", 0],
    ],
  );
  assert.equal(both.edges.length, 3);
  assert.equal(both.truncated, true);
});
