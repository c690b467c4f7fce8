import { useState } from "react";
import { ask, change } from "../api.ts";
import { graphql } from "../graphql.ts";
import { useAction, useLoaded } from "../parts/loading.ts";
import { Dialog, Field, Form, Heading, Loading, Problem, Time } from "../parts/ui.tsx";
import { may, useProject, useViewer } from "../session.ts";

const STORES = graphql(`
  query Stores($project: ID!) {
    project(id: $project) {
      defaultStore {
        id
      }
      stores {
        id
        name
        kind
        url
        createdAt
        project {
          id
        }
      }
    }
  }
`);
const CHECK = graphql(`
  mutation CheckDataStore($input: CheckDataStoreInput!) {
    checkDataStore(input: $input) {
      ok
      message
    }
  }
`);
const UPDATE = graphql(`
  mutation UpdateDataStore($input: UpdateDataStoreInput!) {
    updateDataStore(input: $input) {
      store {
        id
      }
    }
  }
`);
const CREATE = graphql(`
  mutation CreateDataStore($input: CreateDataStoreInput!) {
    createDataStore(input: $input) {
      store {
        id
      }
    }
  }
`);

export function StoresPage() {
  const project = useProject();
  const viewer = useViewer();
  const { data, failure, reload } = useLoaded(
    async () => (await ask(STORES, { project: project.id })).project,
    project.id,
  );
  const [adding, setAdding] = useState(false);
  const [checks, setChecks] = useState<Readonly<Record<string, string>>>({});
  const action = useAction();
  const isAdmin = may(viewer, "ADMIN");
  const say = (id: string, text: string) => setChecks((before) => ({ ...before, [id]: text }));
  return (
    <>
      <div className="title">
        <Heading text="Stores" />
        {isAdmin && (
          <button type="button" className="primary" onClick={() => setAdding(true)}>
            Add a store
          </button>
        )}
      </div>
      {failure && <Problem failure={failure} retry={reload} />}
      {action.failure && <Problem failure={action.failure} />}
      {!data && !failure && <Loading what="stores" />}
      {data && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Stores">
          <table className="list">
            <thead>
              <tr>
                <th>Name</th>
                <th>Kind</th>
                <th>Where</th>
                <th>Since</th>
                <th>Default</th>
                <th>Check</th>
              </tr>
            </thead>
            <tbody>
              {data.stores.map((store) => (
                <tr key={store.id}>
                  <th scope="row">{store.name}</th>
                  <td>{store.kind}</td>
                  <td>
                    <code>{store.url}</code>
                  </td>
                  <td>
                    <Time at={store.createdAt} />
                  </td>
                  <td>
                    {store.id === data.defaultStore?.id
                      ? "✓ default"
                      : isAdmin &&
                        store.project && (
                          <button
                            type="button"
                            className="small"
                            disabled={action.busy}
                            onClick={() =>
                              void action.run(async () => {
                                await change(UPDATE, { input: { id: store.id, isDefault: true } });
                                reload();
                              })
                            }
                          >
                            Make it the default
                          </button>
                        )}
                  </td>
                  <td>
                    {isAdmin && (
                      <button
                        type="button"
                        className="small"
                        disabled={action.busy}
                        onClick={() =>
                          void action.run(async () => {
                            say(store.id, "trying …");
                            const { checkDataStore: found } = await change(CHECK, { input: { id: store.id } });
                            say(store.id, found.ok ? "✓ writes, reads and deletes" : `✗ ${found.message}`);
                          })
                        }
                      >
                        Check
                      </button>
                    )}{" "}
                    <span role="status">{checks[store.id]}</span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {adding && <AddDialog close={() => setAdding(false)} added={reload} />}
    </>
  );
}

interface Blank {
  name: string;
  label: string;
  secret?: boolean;
  json?: boolean;
  required?: boolean;
}

const kinds: Readonly<Record<"s3" | "azure" | "gcs" | "swift" | "local", { title: string; blanks: readonly Blank[] }>> =
  {
    s3: {
      title: "S3",
      blanks: [
        { name: "bucket", label: "Bucket", required: true },
        { name: "prefix", label: "Prefix" },
        { name: "region", label: "Region" },
        { name: "endpointUrl", label: "Address, where it is not Amazon's" },
        { name: "accessKeyId", label: "Access key id" },
        { name: "secretAccessKey", label: "Secret access key", secret: true },
      ],
    },
    azure: {
      title: "Azure Blob Storage",
      blanks: [
        { name: "account", label: "Account", required: true },
        { name: "container", label: "Container", required: true },
        { name: "prefix", label: "Prefix" },
        { name: "endpointUrl", label: "Address, where it is not Azure's" },
        { name: "accountKey", label: "Account key", secret: true },
        { name: "sasToken", label: "or SAS token", secret: true },
      ],
    },
    gcs: {
      title: "Google Cloud Storage",
      blanks: [
        { name: "bucket", label: "Bucket", required: true },
        { name: "prefix", label: "Prefix" },
        { name: "endpointUrl", label: "Address, where it is not Google's" },
        { name: "serviceAccountKey", label: "Service account's key, as JSON", secret: true, json: true },
      ],
    },
    swift: {
      title: "OpenStack Swift",
      blanks: [
        { name: "authUrl", label: "Address to sign in at", required: true },
        { name: "container", label: "Container", required: true },
        { name: "prefix", label: "Prefix" },
        { name: "username", label: "User", required: true },
        { name: "password", label: "Password", secret: true, required: true },
        { name: "project", label: "Project" },
        { name: "region", label: "Region" },
        { name: "tempUrlKey", label: "TempURL key", secret: true },
      ],
    },
    local: { title: "A folder of the server's machine", blanks: [{ name: "path", label: "Path", required: true }] },
  };
type Kind = keyof typeof kinds;

function AddDialog({ close, added }: { close: () => void; added: () => void }) {
  const project = useProject();
  const [kind, setKind] = useState<Kind>("s3");
  const [name, setName] = useState("");
  const [isDefault, setIsDefault] = useState(false);
  const [values, setValues] = useState<Readonly<Record<string, string>>>({});
  const { busy, failure, run } = useAction();
  const { blanks } = kinds[kind];
  const add = () =>
    void run(async () => {
      const spec = Object.fromEntries(
        blanks.flatMap((blank) => {
          const value = values[blank.name];
          return value ? [[blank.name, blank.json ? JSON.parse(value) : value]] : [];
        }),
      );
      await change(CREATE, { input: { project: project.id, name, isDefault, [kind]: spec } });
      added();
      close();
    });
  return (
    <Dialog title="Add a store" close={close}>
      <Form label="Add a store" act={add}>
        <Field label="Kind">
          {(id) => (
            <select id={id} value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
              {(Object.keys(kinds) as Kind[]).map((each) => (
                <option key={each} value={each}>
                  {kinds[each].title}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Name">
          {(id) => <input id={id} required value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        {blanks.map((blank) => (
          <Field key={`${kind} ${blank.name}`} label={blank.label}>
            {(id) => (
              <input
                id={id}
                required={blank.required}
                type={blank.secret ? "password" : "text"}
                autoComplete="off"
                value={values[blank.name] ?? ""}
                onChange={(event) => setValues({ ...values, [blank.name]: event.target.value })}
              />
            )}
          </Field>
        ))}
        <label>
          <input type="checkbox" checked={isDefault} onChange={(event) => setIsDefault(event.target.checked)} /> The
          project's default
        </label>
        {failure && <Problem failure={failure} />}
        <p className="hint">It is tried out before it is kept. Secrets are encrypted, and never shown again.</p>
        <div className="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button className="primary" disabled={busy}>
            {busy ? "Trying it out …" : "Add"}
          </button>
        </div>
      </Form>
    </Dialog>
  );
}
