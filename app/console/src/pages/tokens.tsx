import { useState } from "react";
import { ask, change } from "../api.ts";
import { graphql } from "../graphql.ts";
import { useAction, useLoaded } from "../parts/loading.ts";
import { Copy, Dialog, Field, Form, Heading, Loading, Problem, Time } from "../parts/ui.tsx";
import { may, useViewer } from "../session.ts";

const TOKENS = graphql(`
  query Tokens {
    viewer {
      tokens {
        id
        name
        scopes
        createdAt
        lastUsedAt
        expiresAt
        projects {
          slug
        }
      }
    }
  }
`);
const CREATE = graphql(`
  mutation CreateToken($input: CreateTokenInput!) {
    createToken(input: $input) {
      secret
      token {
        name
      }
    }
  }
`);
const REVOKE = graphql(`
  mutation RevokeToken($input: RevokeTokenInput!) {
    revokeToken(input: $input) {
      token {
        id
      }
    }
  }
`);

const scopes = {
  READ: "sees",
  WRITE: "also changes data and aliases, and creates executions",
  EXECUTE: "runs executions: for workers",
  ADMIN: "all that, and stores, projects and tokens",
} as const;
type Scope = keyof typeof scopes;

export function TokensPage() {
  const viewer = useViewer();
  const { data, failure, reload } = useLoaded(async () => (await ask(TOKENS, {})).viewer.tokens, "tokens");
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<{ id: string; name: string }>();
  const action = useAction();
  const isAdmin = may(viewer, "ADMIN");
  return (
    <>
      <div className="title">
        <Heading text="Tokens" />
        {isAdmin && (
          <button type="button" className="primary" onClick={() => setCreating(true)}>
            Create a token
          </button>
        )}
      </div>
      {failure && <Problem failure={failure} retry={reload} />}
      {!data && !failure && <Loading what="tokens" />}
      {data && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Tokens">
          <table className="list">
            <thead>
              <tr>
                <th>Name</th>
                <th>Scopes</th>
                <th>Projects</th>
                <th>Created</th>
                <th>Last used</th>
                <th>Expires</th>
                <th>
                  <span className="unseen">Revoke</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.map((token) => (
                <tr key={token.id}>
                  <th scope="row">{token.name}</th>
                  <td>{token.scopes.join(", ")}</td>
                  <td>{token.projects?.map((each) => each.slug).join(", ") ?? "all"}</td>
                  <td>
                    <Time at={token.createdAt} />
                  </td>
                  <td>{token.lastUsedAt ? <Time at={token.lastUsedAt} /> : "never"}</td>
                  <td>{token.expiresAt ? <Time at={token.expiresAt} /> : "never"}</td>
                  <td>
                    {isAdmin && (
                      <button type="button" className="small danger" onClick={() => setRevoking(token)}>
                        Revoke<span className="unseen"> {token.name}</span>
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {creating && (
        <CreateDialog
          close={() => {
            setCreating(false);
            reload();
          }}
        />
      )}
      {revoking && (
        <Dialog title={`Revoke ${revoking.name}`} close={() => setRevoking(undefined)}>
          <Form
            label="Revoke"
            act={() =>
              void action.run(async () => {
                await change(REVOKE, { input: { id: revoking.id } });
                setRevoking(undefined);
                reload();
              })
            }
          >
            <p>Whoever uses it gets no answer any more, and its streams and sessions end. There is no way back.</p>
            {action.failure && <Problem failure={action.failure} />}
            <div className="actions">
              <button type="button" onClick={() => setRevoking(undefined)}>
                Cancel
              </button>
              <button className="danger" disabled={action.busy}>
                Revoke
              </button>
            </div>
          </Form>
        </Dialog>
      )}
    </>
  );
}

function CreateDialog({ close }: { close: () => void }) {
  const viewer = useViewer();
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<readonly Scope[]>(["READ"]);
  const [projects, setProjects] = useState<readonly string[]>([]);
  const [until, setUntil] = useState("");
  const [secret, setSecret] = useState<string>();
  const { busy, failure, run } = useAction();
  const toggle = <Item extends string>(list: readonly Item[], item: Item) =>
    list.includes(item) ? list.filter((each) => each !== item) : [...list, item];
  if (secret)
    return (
      <Dialog title={`The token ${name}`} close={close}>
        <p>This is the one time that it is shown; keep it where nobody else reads it.</p>
        <p>
          <code>{secret}</code> <Copy text={secret} what="the token" />
        </p>
        <div className="actions">
          <button type="button" className="primary" onClick={close}>
            Done
          </button>
        </div>
      </Dialog>
    );
  const create = () =>
    void run(async () => {
      const made = await change(CREATE, {
        input: {
          name,
          scopes: [...chosen],
          projects: projects.length ? [...projects] : null,
          expiresAt: until ? new Date(until).toISOString() : null,
        },
      });
      setSecret(made.createToken.secret);
    });
  return (
    <Dialog title="Create a token" close={close}>
      <Form label="Create a token" act={create}>
        <Field label="Name" hint="Changes are signed with it.">
          {(id, hint) => (
            <input
              id={id}
              aria-describedby={hint}
              required
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <fieldset>
          <legend>Scopes</legend>
          {(Object.keys(scopes) as Scope[]).map((each) => (
            <label key={each}>
              <input type="checkbox" checked={chosen.includes(each)} onChange={() => setChosen(toggle(chosen, each))} />{" "}
              {each}: {scopes[each]}
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend>Projects; none chosen means all</legend>
          {viewer.projects.nodes.map((each) => (
            <label key={each.id}>
              <input
                type="checkbox"
                checked={projects.includes(each.id)}
                onChange={() => setProjects(toggle(projects, each.id))}
              />{" "}
              {each.name}
            </label>
          ))}
        </fieldset>
        <Field label="Expires" hint="Never, if left empty.">
          {(id, hint) => (
            <input
              id={id}
              aria-describedby={hint}
              type="datetime-local"
              value={until}
              onChange={(event) => setUntil(event.target.value)}
            />
          )}
        </Field>
        {failure && <Problem failure={failure} />}
        <div className="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button className="primary" disabled={busy || !name.trim() || chosen.length === 0}>
            {busy ? "Creating …" : "Create"}
          </button>
        </div>
      </Form>
    </Dialog>
  );
}
