import dagre from "@dagrejs/dagre";
import {
  Background,
  Controls,
  Handle,
  MarkerType,
  Position,
  ReactFlow,
  type Edge,
  type Node,
  type NodeProps,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useMemo, useState } from "react";
import { Link, useParams, useSearchParams } from "wouter";
import { ask } from "../api.ts";
import { graphql, type ResultOf } from "../graphql.ts";
import { connected, edgeId, merged } from "../parts/graph.ts";
import { useAction, useLoaded } from "../parts/loading.ts";
import { DatumLink, Empty, ExecutionLink, Field, Heading, Loading, Problem, Status } from "../parts/ui.tsx";
import { useProject } from "../session.ts";

const LINEAGE = graphql(`
  fragment Lineage on Lineage @_unmask {
    truncated
    nodes {
      depth
      subject {
        __typename
        ... on Datum {
          id
          name
          size
          aliases {
            name
          }
        }
        ... on Execution {
          id
          number
          title
          step
          status
        }
      }
    }
    edges {
      from
      to
      kind
      inputName
      aliasVersion
    }
  }
`);

const OF_DATUM = graphql(
  `
    query LineageOfDatum($id: ID!, $direction: LineageDirection!, $depth: Int!) {
      datum(id: $id) {
        lineage(direction: $direction, depth: $depth, maxNodes: 500) {
          ...Lineage
        }
      }
    }
  `,
  [LINEAGE],
);
const OF_EXECUTION = graphql(
  `
    query LineageOfExecution($id: ID!, $direction: LineageDirection!, $depth: Int!) {
      execution(id: $id) {
        lineage(direction: $direction, depth: $depth, maxNodes: 500) {
          ...Lineage
        }
      }
    }
  `,
  [LINEAGE],
);

type Lineage = ResultOf<typeof LINEAGE>;
type Subject = Lineage["nodes"][number]["subject"];
const directions = ["BOTH", "UPSTREAM", "DOWNSTREAM"] as const;
type Direction = (typeof directions)[number];

const MOST_DEPTH = 50;
const within = (depth: number) => Math.min(MOST_DEPTH, Math.max(1, Math.trunc(depth) || 1));

function nameOf(subject: Subject): string {
  if (subject.__typename === "Datum") return subject.name;
  return `#${subject.number} ${subject.title ?? subject.step ?? ""}`.trimEnd();
}

async function load(kind: string, id: string, direction: Direction, depth: number): Promise<Lineage | null> {
  if (kind === "execution") return (await ask(OF_EXECUTION, { id, direction, depth })).execution?.lineage ?? null;
  return (await ask(OF_DATUM, { id, direction, depth })).datum?.lineage ?? null;
}

const WIDTH = 190;
const HEIGHT = 64;

export default function LineagePage() {
  const { kind = "datum", id = "" } = useParams<{ kind: string; id: string }>();
  const project = useProject();
  const [search, setSearch] = useSearchParams();
  const direction = directions.find((each) => each === search.get("direction")) ?? "BOTH";
  const depth = within(Number(search.get("depth") ?? 5));
  const asList = search.get("view") === "list";
  const [added, setAdded] = useState<{ key: string; graph: Lineage }>();
  const [clicked, setClicked] = useState<{ root: string; id: string }>();
  const chosen = clicked?.root === id ? clicked.id : id;
  const expansion = useAction();
  const key = `${kind} ${id} ${direction} ${depth}`;
  const { data, failure, reload } = useLoaded(() => load(kind, id, direction, depth), key);
  const graph = useMemo(() => (data && added?.key === key ? merged(data, added.graph) : data), [data, added, key]);
  const expand = (subject: Subject) => {
    setClicked({ root: id, id: subject.id });
    void expansion.run(async () => {
      const more = await load(subject.__typename === "Execution" ? "execution" : "datum", subject.id, "BOTH", 1);
      if (more) setAdded((before) => ({ key, graph: before?.key === key ? merged(before.graph, more) : more }));
    });
  };
  const choose = (values: Record<string, string>) =>
    setSearch({ direction, depth: String(depth), view: asList ? "list" : "graph", ...values }, { replace: true });
  const root = graph?.nodes.find((each) => each.subject.id === id)?.subject;
  return (
    <>
      <div className="title">
        <Heading text={root ? `Lineage of ${nameOf(root)}` : "Lineage"} />
        <Field label="Direction">
          {(own) => (
            <select id={own} value={direction} onChange={(event) => choose({ direction: event.target.value })}>
              <option value="BOTH">both ways</option>
              <option value="UPSTREAM">what it came from</option>
              <option value="DOWNSTREAM">what came of it</option>
            </select>
          )}
        </Field>
        <Field label="Depth">
          {(own) => (
            <input
              id={own}
              type="number"
              min={1}
              max={MOST_DEPTH}
              value={depth}
              onChange={(event) => choose({ depth: String(within(Number(event.target.value))) })}
            />
          )}
        </Field>
        <button type="button" aria-pressed={asList} onClick={() => choose({ view: asList ? "graph" : "list" })}>
          {asList ? "Show as a graph" : "Show as a list"}
        </button>
      </div>
      {failure && <Problem failure={failure} retry={reload} />}
      {expansion.failure && <Problem failure={expansion.failure} />}
      {graph === undefined && !failure && <Loading what="the lineage" />}
      {graph === null && (
        <Empty title="There is no such file or execution">
          <Link href={`/projects/${project.slug}/data`}>To the files</Link>
        </Empty>
      )}
      {graph?.truncated && (
        <p className="problem">There are more than 500 files and executions; take a lower depth, or one direction.</p>
      )}
      {graph && (asList ? <List graph={graph} /> : <Picture graph={graph} root={id} chosen={chosen} choose={expand} />)}
    </>
  );
}

type Drawn = Node<{ subject: Subject; root: boolean; on: boolean }, "subject">;

function Picture({
  graph,
  root,
  chosen,
  choose,
}: {
  graph: Lineage;
  root: string;
  chosen: string;
  choose: (subject: Subject) => void;
}) {
  const placed = useMemo(() => {
    const layout = new dagre.graphlib.Graph()
      .setGraph({ rankdir: "LR", nodesep: 16, ranksep: 56 })
      .setDefaultEdgeLabel(() => ({}));
    for (const { subject } of graph.nodes) layout.setNode(subject.id, { width: WIDTH, height: HEIGHT });
    for (const edge of graph.edges) layout.setEdge(edge.from, edge.to);
    dagre.layout(layout);
    return new Map(graph.nodes.map(({ subject }) => [subject.id, layout.node(subject.id) as { x: number; y: number }]));
  }, [graph]);
  const path = useMemo(() => connected(graph.edges, chosen), [graph, chosen]);
  const nodes = useMemo<Drawn[]>(
    () =>
      graph.nodes.map(({ subject }) => {
        const at = placed.get(subject.id) ?? { x: 0, y: 0 };
        return {
          id: subject.id,
          type: "subject",
          position: { x: at.x - WIDTH / 2, y: at.y - HEIGHT / 2 },
          data: { subject, root: subject.id === root, on: path.has(subject.id) },
          width: WIDTH,
          height: HEIGHT,
        };
      }),
    [graph, placed, path, root],
  );
  const edges = useMemo<Edge[]>(
    () =>
      graph.edges.map((each) => {
        const on = path.has(each.from) && path.has(each.to);
        return {
          id: edgeId(each),
          source: each.from,
          target: each.to,
          ...(each.inputName ? { label: each.inputName } : {}),
          markerEnd: { type: MarkerType.ArrowClosed },
          className: on ? "edge-on" : "edge-off",
        };
      }),
    [graph, path],
  );
  return (
    <div className="graph">
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={kinds}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        onlyRenderVisibleElements
        minZoom={0.05}
        fitView
        fitViewOptions={{ maxZoom: 1 }}
        colorMode="system"
        proOptions={{ hideAttribution: true }}
        onNodeClick={(_, node) => choose(node.data.subject)}
      >
        <Background />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}

const kinds = {
  subject: function Subject({ data: { subject, root, on } }: NodeProps<Drawn>) {
    const { slug } = useProject();
    const isFile = subject.__typename === "Datum";
    return (
      <div
        className={`subject ${isFile ? "subject-file" : "subject-execution"} ${on ? "on" : "off"} ${root ? "root" : ""}`}
      >
        <Handle type="target" position={Position.Left} isConnectable={false} />
        <span className="kind">{isFile ? "▤ file" : "⚙ execution"}</span>
        {subject.__typename === "Datum" ? (
          <DatumLink slug={slug} datum={subject} />
        ) : (
          <ExecutionLink slug={slug} execution={subject} />
        )}
        {subject.__typename === "Datum" &&
          subject.aliases.map((each) => (
            <span key={each.name} className="badge">
              {each.name}
            </span>
          ))}
        {subject.__typename === "Execution" && <Status status={subject.status} />}
        <Handle type="source" position={Position.Right} isConnectable={false} />
      </div>
    );
  },
};

function List({ graph }: { graph: Lineage }) {
  const { slug } = useProject();
  const names = new Map(graph.nodes.map(({ subject }) => [subject.id, subject]));
  const link = (id: string) => {
    const subject = names.get(id);
    if (!subject) return null;
    return subject.__typename === "Datum" ? (
      <DatumLink slug={slug} datum={subject} />
    ) : (
      <ExecutionLink slug={slug} execution={subject} />
    );
  };
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Lineage as a list">
      <table className="list">
        <thead>
          <tr>
            <th>What</th>
            <th>Kind</th>
            <th>Steps away</th>
            <th>Came from</th>
            <th>Led to</th>
          </tr>
        </thead>
        <tbody>
          {[...graph.nodes]
            .sort((one, two) => one.depth - two.depth)
            .map(({ subject, depth }) => (
              <tr key={subject.id}>
                <th scope="row">{link(subject.id)}</th>
                <td>
                  {subject.__typename === "Datum" ? "file" : "execution"}
                  {subject.__typename === "Datum" &&
                    subject.aliases.map((each) => (
                      <span key={each.name} className="badge">
                        {each.name}
                      </span>
                    ))}
                </td>
                <td>{depth}</td>
                <td>
                  {graph.edges
                    .filter((each) => each.to === subject.id)
                    .map((each) => (
                      <div key={edgeId(each)}>
                        {link(each.from)} {each.inputName && <span className="quiet">as {each.inputName}</span>}
                      </div>
                    ))}
                </td>
                <td>
                  {graph.edges
                    .filter((each) => each.from === subject.id)
                    .map((each) => (
                      <div key={edgeId(each)}>{link(each.to)}</div>
                    ))}
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}
