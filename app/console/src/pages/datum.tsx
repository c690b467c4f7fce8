import { useState } from "react";
import { Link, useParams } from "wouter";
import { ask, change, Failure } from "../api.ts";
import { graphql } from "../graphql.ts";
import { splitProperty } from "../parts/filter.ts";
import { NOTHING } from "../parts/list.ts";
import { useAction, useLoaded, usePages } from "../parts/loading.ts";
import {
  AliasLink,
  Copy,
  Dialog,
  Empty,
  ExecutionLink,
  Field,
  Form,
  Heading,
  Loading,
  More,
  Problem,
  Size,
  Status,
  Tags,
  Time,
  Values,
} from "../parts/ui.tsx";
import { may, useProject, useViewer } from "../session.ts";

const DATUM = graphql(`
  query Datum($id: ID!) {
    datum(id: $id) {
      id
      uri
      name
      size
      mediaType
      origin
      status
      statusReason
      tags
      properties
      createdAt
      purgedAt
      purgeReason
      storageUri
      checksums {
        md5
        sha1
        sha256
        evidence
      }
      createdBy {
        name
      }
      purgedBy {
        name
      }
      store {
        name
        kind
      }
      aliases {
        name
        version
      }
      producedBy {
        number
        title
        step
      }
    }
  }
`);

const DOWNLOAD = graphql(`
  query Download($id: ID!) {
    datum(id: $id) {
      downloadUrl
    }
  }
`);

const ALIASES_EVER = graphql(`
  query AliasesEver($id: ID!, $first: Int!, $after: String) {
    datum(id: $id) {
      aliasHistory(first: $first, after: $after) {
        nodes {
          id
          at
          version
          alias {
            name
          }
          to {
            id
          }
          actor {
            name
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

const USED_BY = graphql(`
  query UsedBy($id: ID!, $first: Int!, $after: String) {
    datum(id: $id) {
      usedBy(first: $first, after: $after) {
        nodes {
          id
          number
          title
          step
          status
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

const UPDATE = graphql(`
  mutation UpdateDatum($input: UpdateDatumInput!) {
    updateDatum(input: $input) {
      datum {
        id
      }
    }
  }
`);

const PURGE = graphql(`
  mutation PurgeDatum($input: PurgeDatumInput!) {
    purgeDatum(input: $input) {
      datum {
        id
      }
    }
  }
`);

export function DatumPage() {
  const { id = "" } = useParams<{ id: string }>();
  const project = useProject();
  const viewer = useViewer();
  const { data: datum, failure, reload } = useLoaded(async () => (await ask(DATUM, { id })).datum, id);
  const [purging, setPurging] = useState(false);
  const download = useAction();
  // links do not last, so one is asked for when it is wanted
  const start = () =>
    void download.run(async () => {
      const url = (await ask(DOWNLOAD, { id })).datum?.downloadUrl;
      if (!url) throw new Failure("The file is gone.");
      location.assign(url);
    });
  if (failure && !datum) return <Problem failure={failure} retry={reload} />;
  if (datum === undefined) return <Loading what="the file" />;
  if (datum === null)
    return (
      <Empty title="There is no such file">
        <Link href={`/projects/${project.slug}/data`}>To the files</Link>
      </Empty>
    );
  const mayWrite = may(viewer, "WRITE");
  const facts: [string, React.ReactNode][] = [
    ["Size", <Size key="size" bytes={datum.size} />],
    [
      "Origin",
      datum.producedBy ? (
        <>
          made by <ExecutionLink slug={project.slug} execution={datum.producedBy} />
        </>
      ) : datum.origin === "ADOPTED" ? (
        "adopted from its store"
      ) : (
        "uploaded"
      ),
    ],
    [
      "Created",
      <>
        <Time at={datum.createdAt} exact />
        {datum.createdBy && ` by ${datum.createdBy.name}`}
      </>,
    ],
    [
      "Store",
      <>
        {datum.store.name} ({datum.store.kind}) {datum.storageUri && <code>{datum.storageUri}</code>}
      </>,
    ],
    ["Type", datum.mediaType ?? "unknown"],
  ];
  return (
    <>
      <div className="title">
        <Heading text={datum.name} />
        <Status status={datum.status} />
        {datum.status === "AVAILABLE" && (
          <button type="button" disabled={download.busy} onClick={start}>
            Download
          </button>
        )}
        <Link className="button" href={`/projects/${project.slug}/lineage/datum/${datum.id}`}>
          Lineage
        </Link>
        {mayWrite && datum.status !== "PURGED" && (
          <button type="button" className="danger" onClick={() => setPurging(true)}>
            Purge
          </button>
        )}
      </div>
      {download.failure && <Problem failure={download.failure} />}
      {datum.purgedAt && (
        <p className="problem">
          Purged <Time at={datum.purgedAt} exact />
          {datum.purgedBy && ` by ${datum.purgedBy.name}`}: {datum.purgeReason}. Its record, history and lineage stay.
        </p>
      )}
      {datum.statusReason && <p className="problem">{datum.statusReason}</p>}
      <p>
        <code>{datum.uri}</code> <Copy text={datum.uri} what="the link" />
      </p>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
        {(["sha256", "sha1", "md5"] as const).map((name) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {datum.checksums[name] ? (
                <>
                  <code>{datum.checksums[name]}</code> <Copy text={datum.checksums[name]} what={name} />
                </>
              ) : (
                <span className="quiet">not yet known</span>
              )}
            </dd>
          </div>
        ))}
        <div>
          <dt>Hashes are</dt>
          <dd>{datum.checksums.evidence.toLowerCase()}</dd>
        </div>
      </dl>
      <Description
        id={datum.id}
        tags={datum.tags}
        properties={datum.properties as Record<string, unknown>}
        mayWrite={mayWrite}
        changed={reload}
      />
      <h2>Aliases</h2>
      <p>
        {datum.aliases.length === 0 ? (
          <span className="quiet">None points here now.</span>
        ) : (
          <>
            Now:{" "}
            {datum.aliases.map((each) => (
              <span key={each.name} className="badge">
                <AliasLink slug={project.slug} name={each.name} /> version {each.version}
              </span>
            ))}
          </>
        )}
      </p>
      <AliasesEver id={datum.id} />
      <h2>Used by</h2>
      <UsedBy id={datum.id} />
      {purging && <PurgeDialog datum={datum} close={() => setPurging(false)} purged={reload} />}
    </>
  );
}

function AliasesEver({ id }: { id: string }) {
  const { slug } = useProject();
  const changes = usePages(
    async (after, first) => (await ask(ALIASES_EVER, { id, after, first })).datum?.aliasHistory ?? NOTHING,
    `aliases ever ${id}`,
  );
  return (
    <>
      <ul className="plain" aria-label="Every change that pointed an alias here or away">
        {changes.items.map((each) => (
          <li key={each.id}>
            <Time at={each.at} exact />: <AliasLink slug={slug} name={each.alias.name} />{" "}
            {each.to?.id === id ? "was pointed here" : "was pointed away"} (version {each.version}) by{" "}
            {each.actor?.name ?? "nobody"}
          </li>
        ))}
      </ul>
      {changes.failure && <Problem failure={changes.failure} retry={changes.reload} />}
      <More {...changes} />
    </>
  );
}

function UsedBy({ id }: { id: string }) {
  const { slug } = useProject();
  const users = usePages(
    async (after, first) => (await ask(USED_BY, { id, after, first })).datum?.usedBy ?? NOTHING,
    `used by ${id}`,
  );
  return (
    <>
      {!users.loading && users.items.length === 0 && <p className="quiet">No execution used it.</p>}
      <ul className="plain">
        {users.items.map((each) => (
          <li key={each.id}>
            <ExecutionLink slug={slug} execution={each} /> <Status status={each.status} />
          </li>
        ))}
      </ul>
      {users.failure && <Problem failure={users.failure} retry={users.reload} />}
      <More {...users} />
    </>
  );
}

function Description({
  id,
  tags,
  properties,
  mayWrite,
  changed,
}: {
  id: string;
  tags: readonly string[];
  properties: Record<string, unknown>;
  mayWrite: boolean;
  changed: () => void;
}) {
  const [tag, setTag] = useState("");
  const [property, setProperty] = useState("");
  const { busy, failure, run } = useAction();
  const update = (
    input: {
      addTags?: string[];
      removeTags?: string[];
      setProperties?: Record<string, unknown>;
      removeProperties?: string[];
    },
    done: () => void = () => undefined,
  ) =>
    void run(async () => {
      await change(UPDATE, { input: { id, ...input } });
      done();
      changed();
    });
  return (
    <section aria-label="Tags and properties" className="description">
      <h2>Tags</h2>
      <p>
        {mayWrite ? (
          tags.map((each) => (
            <span key={each} className="tag">
              {each}{" "}
              <button
                type="button"
                className="small"
                aria-label={`Remove the tag ${each}`}
                disabled={busy}
                onClick={() => update({ removeTags: [each] })}
              >
                ✕
              </button>
            </span>
          ))
        ) : (
          <Tags tags={tags} />
        )}
        {tags.length === 0 && <span className="quiet">none</span>}
      </p>
      {mayWrite && (
        <Form
          label="Add a tag"
          act={() => {
            if (tag.trim()) update({ addTags: [tag.trim()] }, () => setTag(""));
          }}
        >
          <input aria-label="New tag" value={tag} onChange={(event) => setTag(event.target.value)} />{" "}
          <button disabled={busy || !tag.trim()}>Add</button>
        </Form>
      )}
      <h2>Properties</h2>
      {mayWrite && Object.keys(properties).length > 0 ? (
        <dl className="values">
          {Object.entries(properties).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <code>{JSON.stringify(value)}</code>{" "}
                <button type="button" className="small" onClick={() => setProperty(`${name}=${JSON.stringify(value)}`)}>
                  Edit
                </button>{" "}
                <button
                  type="button"
                  className="small"
                  aria-label={`Remove the property ${name}`}
                  disabled={busy}
                  onClick={() => update({ removeProperties: [name] })}
                >
                  ✕
                </button>
              </dd>
            </div>
          ))}
        </dl>
      ) : (
        <Values value={properties} />
      )}
      {mayWrite && (
        <Form
          label="Set a property"
          act={() => {
            if (property.includes("="))
              update({ setProperties: Object.fromEntries([splitProperty(property)]) }, () => setProperty(""));
          }}
        >
          <input
            aria-label="Property, as name=value"
            placeholder="accuracy=0.93"
            value={property}
            onChange={(event) => setProperty(event.target.value)}
          />{" "}
          <button disabled={busy || !property.includes("=")}>Set</button>
        </Form>
      )}
      {failure && <Problem failure={failure} />}
    </section>
  );
}

function PurgeDialog({
  datum,
  close,
  purged,
}: {
  datum: { id: string; name: string };
  close: () => void;
  purged: () => void;
}) {
  const project = useProject();
  const viewer = useViewer();
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const [force, setForce] = useState(false);
  const { busy, failure, run } = useAction();
  const blockers = failure?.code === "ALIAS_IN_USE" ? failure.extensions : null;
  const aliases = (blockers?.aliases ?? []) as string[];
  const executions = (blockers?.executions ?? []) as number[];
  return (
    <Dialog title={`Purge ${datum.name}`} close={close}>
      <Form
        label="Purge"
        act={() =>
          void run(async () => {
            await change(PURGE, { input: { id: datum.id, reason, force } });
            purged();
            close();
          })
        }
      >
        <p>Its bytes are deleted for ever; there is no way back. The record, history and lineage stay.</p>
        <Field label="Reason">
          {(id) => <input id={id} required value={reason} onChange={(event) => setReason(event.target.value)} />}
        </Field>
        <Field label="Type the file's name to confirm" hint={datum.name}>
          {(id, hint) => (
            <input
              id={id}
              aria-describedby={hint}
              value={typed}
              autoComplete="off"
              onChange={(event) => setTyped(event.target.value)}
            />
          )}
        </Field>
        {blockers && (
          <div role="alert" className="problem">
            <p>It is in use:</p>
            <ul>
              {aliases.map((name) => (
                <li key={name}>
                  the alias <AliasLink slug={project.slug} name={name} /> points at it: move that first
                </li>
              ))}
              {executions.map((number) => (
                <li key={number}>
                  execution <ExecutionLink slug={project.slug} execution={{ number }} /> is unfinished and pins it: stop
                  it, or wait
                </li>
              ))}
            </ul>
            {may(viewer, "ADMIN") && (
              <label>
                <input type="checkbox" checked={force} onChange={(event) => setForce(event.target.checked)} /> Purge it
                all the same
              </label>
            )}
          </div>
        )}
        {failure && !blockers && <Problem failure={failure} />}
        <div className="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button className="danger" disabled={busy || typed !== datum.name || !reason.trim()}>
            {busy ? "Purging …" : "Purge"}
          </button>
        </div>
      </Form>
    </Dialog>
  );
}
