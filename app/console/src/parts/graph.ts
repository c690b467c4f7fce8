/** What the lineage view knows of graphs. */

export interface Edge {
  from: string;
  to: string;
  inputName: string | null;
}

interface Node {
  subject: { id: string };
}

export interface Graph<Each extends Node, Link extends Edge> {
  truncated: boolean;
  nodes: Each[];
  edges: Link[];
}

/** Tells an edge from others between the same two: a file may be several inputs of one execution. */
export function edgeId(edge: Edge): string {
  return `${edge.from} ${edge.to} ${edge.inputName ?? ""}`;
}

/** Both, each node and edge once; those of `first` as they are there. */
export function merged<Each extends Node, Link extends Edge>(
  first: Graph<Each, Link>,
  second: Graph<Each, Link>,
): Graph<Each, Link> {
  const nodes = new Map([...second.nodes, ...first.nodes].map((each) => [each.subject.id, each]));
  const edges = new Map([...second.edges, ...first.edges].map((each) => [edgeId(each), each]));
  return {
    truncated: first.truncated || second.truncated,
    nodes: [...nodes.values()],
    edges: [...edges.values()],
  };
}

/** What leads to a node, and what it leads to, the node itself with them. */
export function connected(edges: readonly Edge[], id: string): Set<string> {
  const found = new Set([id]);
  for (const [here, there] of [
    ["to", "from"],
    ["from", "to"],
  ] as const) {
    const next = new Map<string, string[]>();
    for (const edge of edges) {
      const others = next.get(edge[here]);
      if (others) others.push(edge[there]);
      else next.set(edge[here], [edge[there]]);
    }
    const seen = new Set([id]);
    // a set that grows while it is walked is walked to its end
    for (const each of seen) for (const other of next.get(each) ?? []) seen.add(other);
    for (const each of seen) found.add(each);
  }
  return found;
}
