import { useEffect, useState } from "react";
import { useParams } from "wouter";
import { ask, follow } from "../api.ts";
import { graphql, readFragment, type ResultOf } from "../graphql.ts";
import { Comparison, FILE, Marks } from "../parts/files.tsx";
import { NOTHING } from "../parts/list.ts";
import { useCalm, useLoaded, usePages } from "../parts/loading.ts";
import { MoveDialog, type Back } from "../parts/move.tsx";
import {
  Copy,
  DatumLink,
  Dialog,
  Empty,
  ExecutionLink,
  Field,
  Heading,
  Loading,
  More,
  Problem,
  Time,
} from "../parts/ui.tsx";
import { may, useProject, useViewer } from "../session.ts";
import { CHANGED } from "./aliases.tsx";

const CHANGE = graphql(
  `
    fragment Change on AliasHistory {
      id
      version
      kind
      at
      via
      reason
      rolledBackTo
      from {
        id
        name
      }
      to {
        ...File
        id
        name
        size
        status
      }
      actor {
        name
      }
      execution {
        number
        title
        step
      }
    }
  `,
  [FILE],
);

const ALIAS = graphql(
  `
    query Alias($project: ID!, $name: String!) {
      project(id: $project) {
        alias(name: $name, includeDeleted: true) {
          id
          name
          uri
          version
          updatedAt
          deletedAt
          datum {
            ...File
            id
            name
          }
        }
      }
    }
  `,
  [FILE],
);

const HISTORY = graphql(
  `
    query AliasHistory($project: ID!, $name: String!, $after: String, $first: Int!) {
      project(id: $project) {
        alias(name: $name, includeDeleted: true) {
          history(first: $first, after: $after) {
            nodes {
              ...Change
            }
            pageInfo {
              hasNextPage
              endCursor
            }
          }
        }
      }
    }
  `,
  [CHANGE],
);

const AS_OF = graphql(
  `
    query AsOf($project: ID!, $name: String!, $at: DateTime!) {
      project(id: $project) {
        alias(name: $name, includeDeleted: true) {
          asOf(at: $at) {
            ...Change
          }
        }
      }
    }
  `,
  [CHANGE],
);

type Change = ResultOf<typeof CHANGE>;

export function AliasPage() {
  const { name = "" } = useParams<{ name: string }>();
  const project = useProject();
  const viewer = useViewer();
  const [moving, setMoving] = useState<{ back?: Back }>();
  const [compared, setCompared] = useState<readonly Change[]>([]);
  const [comparing, setComparing] = useState(false);
  const own = { project: project.id, name };
  const alias = useLoaded(async () => (await ask(ALIAS, own)).project?.alias ?? null, `${project.id} ${name}`);
  const history = usePages(async (after, first) => {
    const found = (await ask(HISTORY, { ...own, after, first })).project?.alias?.history;
    return {
      nodes: found?.nodes.map((each) => readFragment(CHANGE, each)) ?? [],
      pageInfo: found?.pageInfo ?? NOTHING.pageInfo,
    };
  }, `history ${project.id} ${name}`);

  const reload = () => {
    alias.reload();
    history.reload();
  };
  const calmly = useCalm(reload);
  useEffect(() => follow(CHANGED, { project: project.id, names: [name] }, calmly), [project.id, name, calmly]);

  if (alias.failure && !alias.data) return <Problem failure={alias.failure} retry={alias.reload} />;
  if (alias.data === undefined) return <Loading what={name} />;
  if (alias.data === null)
    return (
      <Empty title={`There is no alias ${name}`}>
        <p>
          Create it in the list of aliases, or with <code>waymark alias set {name} …</code>
        </p>
      </Empty>
    );
  const { data } = alias;
  const mayWrite = may(viewer, "WRITE");
  const toggle = (change: Change) =>
    setCompared((before) =>
      before.some((each) => each.id === change.id)
        ? before.filter((each) => each.id !== change.id)
        : [...before.slice(-1), change],
    );
  const back = (change: Change) => {
    const file = change.to && readFragment(FILE, change.to);
    if (file) setMoving({ back: { version: change.version, found: { reference: file.id, alias: null, file } } });
  };
  return (
    <>
      <div className="title">
        <Heading text={data.name} />
        <span className="quiet">
          <code>{data.uri}</code> <Copy text={data.uri} what="the link" />
        </span>
        {mayWrite && (
          <button type="button" className="primary" onClick={() => setMoving({})}>
            Move
          </button>
        )}
      </div>
      <div className="alias">
        <div className="now">
          {data.datum ? (
            <>
              Points at
              <strong>
                <DatumLink slug={project.slug} datum={data.datum} />
              </strong>
              <Marks slug={project.slug} file={readFragment(FILE, data.datum)} />
              <br />
              Version {data.version} since <Time at={data.updatedAt} exact />
            </>
          ) : (
            <>
              Points <strong>nowhere</strong> it was deleted <Time at={data.deletedAt ?? data.updatedAt} exact />
            </>
          )}
        </div>
        <AsOf name={name} />
      </div>
      <div className="title">
        <h2>History</h2>
        <button type="button" disabled={compared.length !== 2} onClick={() => setComparing(true)}>
          {compared.length === 2 ? "Compare the two" : `Compare: choose ${2 - compared.length} more`}
        </button>
      </div>
      {history.failure && <Problem failure={history.failure} retry={history.reload} />}
      <ol className="timeline" aria-label="History, the newest first">
        {history.items.map((change) => (
          <li key={change.id} className={`change-${change.kind.toLowerCase()}`}>
            <p className="change">
              <strong>Version {change.version}</strong>{" "}
              <span className="badge">
                {change.kind.replace("_", " ").toLowerCase()}
                {change.rolledBackTo ? ` to ${change.rolledBackTo}` : ""}
              </span>{" "}
              <DatumLink slug={project.slug} datum={change.from} /> →{" "}
              <DatumLink slug={project.slug} datum={change.to} />
            </p>
            {change.to && (
              <p className="quiet">
                <Marks slug={project.slug} file={readFragment(FILE, change.to)} />
              </p>
            )}
            <p className="quiet">
              <Time at={change.at} exact /> · {change.actor?.name ?? "nobody"} ·{" "}
              {change.execution ? <ExecutionLink slug={project.slug} execution={change.execution} /> : change.via}
              {change.reason && <> · “{change.reason}”</>}
            </p>
            <p className="actions">
              <label>
                <input
                  type="checkbox"
                  checked={compared.some((each) => each.id === change.id)}
                  onChange={() => toggle(change)}
                />{" "}
                Compare
              </label>
              {mayWrite && change.to && change.to.id !== data.datum?.id && (
                <button type="button" className="small" onClick={() => back(change)}>
                  Point back here
                </button>
              )}
            </p>
          </li>
        ))}
      </ol>
      {history.loading && history.items.length === 0 && <Loading what="its history" />}
      <More {...history} />
      {moving && <MoveDialog names={[name]} {...moving} close={() => setMoving(undefined)} moved={reload} />}
      {comparing && compared[0] && compared[1] && (
        <Dialog title={`Versions ${compared[0].version} and ${compared[1].version}`} close={() => setComparing(false)}>
          <Comparison
            slug={project.slug}
            sides={[
              { title: `Version ${compared[0].version}`, file: compared[0].to },
              { title: `Version ${compared[1].version}`, file: compared[1].to },
            ]}
          />
        </Dialog>
      )}
    </>
  );
}

function AsOf({ name }: { name: string }) {
  const project = useProject();
  const [at, setAt] = useState("");
  const instant = at && !Number.isNaN(Date.parse(at)) ? new Date(at).toISOString() : "";
  const found = useLoaded(async () => {
    if (!instant) return null;
    const answer = (await ask(AS_OF, { project: project.id, name, at: instant })).project?.alias?.asOf;
    return answer ? readFragment(CHANGE, answer) : null;
  }, `${project.id} ${name} ${instant}`);
  return (
    <section className="as-of" aria-label="As of">
      <Field label="As of" hint="Where it pointed then, in this machine's time zone.">
        {(id, hint) => (
          <input
            id={id}
            aria-describedby={hint}
            type="datetime-local"
            step="1"
            value={at}
            onChange={(event) => setAt(event.target.value)}
          />
        )}
      </Field>
      {instant && found.failure && <Problem failure={found.failure} />}
      {instant && found.data && (
        <p role="status">
          It pointed at <DatumLink slug={project.slug} datum={found.data.to} />: version {found.data.version}, since{" "}
          <Time at={found.data.at} exact />.
        </p>
      )}
      {instant && found.data === null && <p role="status">It did not exist yet.</p>}
    </section>
  );
}
