/** Moving aliases: what changes is shown first, and nobody's faster move is overwritten. */
import { useState } from "react";
import { ask, change, Failure } from "../api.ts";
import { graphql, readFragment } from "../graphql.ts";
import { useProject } from "../session.ts";
import { Comparison, FILE, FilePicker, type Found } from "./files.tsx";
import { useAction, useAttempt, useLoaded } from "./loading.ts";
import { Dialog, Field, Form, Loading, Problem, Time } from "./ui.tsx";
import { nameFault } from "./words.ts";

const NOW = graphql(
  `
    query AliasesNow($project: ID!, $names: [String!]!) {
      project(id: $project) {
        aliases(filter: { name: { in: $names }, includeDeleted: true }, first: 500) {
          nodes {
            id
            name
            version
            datum {
              ...File
              aliases {
                name
              }
            }
            history(first: 1) {
              nodes {
                at
                actor {
                  name
                }
              }
            }
          }
        }
      }
    }
  `,
  [FILE],
);

const WAITING = graphql(`
  query Waiting($project: ID!, $alias: ID!) {
    project(id: $project) {
      executions(filter: { usesAlias: $alias, status: [CREATED, QUEUED] }, first: 20) {
        nodes {
          number
        }
        totalCount
      }
    }
  }
`);

const SET = graphql(`
  mutation MoveAliases($input: SetAliasesInput!) {
    setAliases(input: $input) {
      changes {
        id
      }
    }
  }
`);

const ROLL_BACK = graphql(`
  mutation RollBackAlias($input: RollbackAliasInput!) {
    rollbackAlias(input: $input) {
      changed
    }
  }
`);

const TARGET = graphql(
  `
    query Target($id: ID!) {
      datum(id: $id) {
        ...File
      }
    }
  `,
  [FILE],
);

/** A version of the alias to return to, and the file it pointed at then. */
export interface Back {
  version: number;
  found: Found;
}

/** Points the aliases `names` at a file, or the one at what it pointed at before; with no names, a new one at first. */
export function MoveDialog({
  names,
  back,
  close,
  moved,
}: {
  names: readonly string[];
  back?: Back;
  close: () => void;
  moved: () => void;
}) {
  const project = useProject();
  const [name, setName] = useState("");
  const [picked, setPicked] = useState(back?.found ?? null);
  const [reason, setReason] = useState(back ? `back to version ${back.version}` : "");
  const attempt = useAttempt();
  const { busy, failure, run } = useAction();
  const isNew = names.length === 0;
  const wanted = isNew ? (nameFault(name) === null ? [name] : []) : names;
  const now = useLoaded(
    async () =>
      wanted.length ? ((await ask(NOW, { project: project.id, names: [...wanted] })).project?.aliases.nodes ?? []) : [],
    wanted.join(" "),
  );
  const next = useLoaded(
    async () => (picked ? (await ask(TARGET, { id: picked.file.id })).datum : null),
    picked?.file.id ?? "",
  );
  const taken = isNew && now.data?.some((alias) => alias.datum !== null);
  const fault = isNew
    ? name === ""
      ? null
      : (nameFault(name) ?? (taken ? "There is an alias of that name already; it would be moved." : null))
    : null;
  const conflict = failure?.code === "CONFLICT";

  const title = isNew
    ? "Create an alias"
    : back
      ? `Point ${names[0]} back to version ${back.version}`
      : `Move ${names.length === 1 ? names[0] : `${names.length} aliases`}`;

  const act = () =>
    void run(async () => {
      if (!picked || wanted.length === 0) throw new Failure("Choose a name and a file.");
      const expected = wanted.map((each) => ({
        name: each,
        expectedVersion: now.data?.find((alias) => alias.name === each)?.version ?? 0,
      }));
      const shared = { project: project.id, reason: reason || null };
      const [alone] = expected;
      try {
        if (alone && back?.found.file.id === picked.file.id) {
          const input = { ...shared, ...alone, toVersion: back.version };
          await change(ROLL_BACK, { input: { ...input, idempotencyKey: attempt(input) } });
        } else {
          const input = { ...shared, moves: expected.map((each) => ({ ...each, datum: picked.file.id })) };
          await change(SET, { input: { ...input, idempotencyKey: attempt(input) } });
        }
      } catch (error) {
        // what is there now is shown, and asked about again
        now.reload();
        throw error;
      }
      moved();
      close();
    });

  return (
    <Dialog title={title} close={close}>
      <Form label="Move" act={act}>
        {isNew && (
          <Field label="Name" hint="Letters, digits, '.', '_' and '-'." fault={fault}>
            {(id, hint) => (
              <input
                id={id}
                aria-describedby={hint}
                value={name}
                autoFocus
                required
                onChange={(event) => setName(event.target.value)}
              />
            )}
          </Field>
        )}
        <FilePicker label="File" picked={picked} pick={setPicked} clear={() => setPicked(null)} />
        {now.failure && <Problem failure={now.failure} retry={now.reload} />}
        {!now.data && !now.failure && <Loading what="where they point now" />}
        {conflict && now.data && (
          <div role="alert" className="problem">
            <p>Somebody was faster:</p>
            <ul>
              {now.data.map((alias) => (
                <li key={alias.id}>
                  <strong>{alias.name}</strong> was moved to{" "}
                  {alias.datum ? readFragment(FILE, alias.datum).name : "nowhere"} (version {alias.version})
                  {alias.history.nodes[0] && (
                    <>
                      {" "}
                      by {alias.history.nodes[0].actor?.name ?? "nobody"}, <Time at={alias.history.nodes[0].at} />
                    </>
                  )}
                </li>
              ))}
            </ul>
            <p>Look at the difference again, and move it once more if it is still right.</p>
          </div>
        )}
        {picked &&
          now.data &&
          next.data !== undefined &&
          now.data.map((alias) => (
            <section key={alias.id}>
              <Comparison
                slug={project.slug}
                sides={[
                  { title: `${alias.name} now`, file: alias.datum },
                  { title: "then", file: next.data ?? null },
                ]}
              />
              <Touched alias={alias} />
            </section>
          ))}
        {!conflict && failure && <Problem failure={failure} />}
        <Field label="Reason" hint="Kept with the change for ever.">
          {(id, hint) => (
            <input
              id={id}
              aria-describedby={hint}
              value={reason}
              maxLength={4000}
              onChange={(event) => setReason(event.target.value)}
            />
          )}
        </Field>
        <div className="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button className="primary" disabled={busy || !picked || wanted.length === 0 || now.data === undefined}>
            {busy ? "Moving …" : isNew && !taken ? "Create" : conflict ? "Move all the same" : "Move"}
          </button>
        </div>
      </Form>
    </Dialog>
  );
}

function Touched({
  alias,
}: {
  alias: { id: string; name: string; datum: { aliases: readonly { name: string }[] } | null };
}) {
  const project = useProject();
  const { data, failure } = useLoaded(
    async () => (await ask(WAITING, { project: project.id, alias: alias.id })).project?.executions,
    `${project.id} ${alias.id}`,
  );
  const others = alias.datum?.aliases.filter((each) => each.name !== alias.name) ?? [];
  const more = data ? data.totalCount - data.nodes.length : 0;
  return (
    <ul className="touched">
      {failure && <li>Its queued executions are not known: {failure.message}</li>}
      {data && (
        <li>
          {data.nodes.length === 0
            ? "No queued execution took a file through it."
            : `Queued executions stay pinned to the file of now: ${data.nodes.map((each) => `#${each.number}`).join(", ")}${more ? ` and ${more} more` : ""}.`}
        </li>
      )}
      <li>
        {others.length === 0
          ? "No other alias points at the file of now."
          : `Other aliases stay at the file of now: ${others.map((each) => each.name).join(", ")}.`}
      </li>
    </ul>
  );
}
