/** Files: how one is summed up, two are compared, and one is found. */
import { useState, type ReactNode } from "react";
import { ask } from "../api.ts";
import { graphql, readFragment, type FragmentOf, type ResultOf } from "../graphql.ts";
import { useProject } from "../session.ts";
import { splitProperty } from "./filter.ts";
import { useLoaded, useSettled } from "./loading.ts";
import { ExecutionLink, Field, Loading, Problem, Size, Tags, Time, Values } from "./ui.tsx";
import { bare, isId } from "./words.ts";

export const FILE = graphql(`
  fragment File on Datum {
    id
    name
    size
    createdAt
    status
    tags
    properties
    checksums {
      md5
      sha1
      sha256
    }
    producedBy {
      number
      title
      step
    }
  }
`);

export type FileFacts = ResultOf<typeof FILE>;

const FIND = graphql(
  `
    query FindFiles($project: ID!, $filter: DatumFilter!) {
      project(id: $project) {
        data(filter: $filter, first: 12) {
          nodes {
            ...File
          }
        }
      }
    }
  `,
  [FILE],
);

const ONE = graphql(
  `
    query OneFile($id: ID!) {
      datum(id: $id) {
        ...File
      }
    }
  `,
  [FILE],
);

const ALIASES = graphql(
  `
    query FindAliases($project: ID!, $text: String!) {
      project(id: $project) {
        aliases(filter: { name: { contains: $text } }, first: 6) {
          nodes {
            name
            version
            datum {
              ...File
            }
          }
        }
      }
    }
  `,
  [FILE],
);

export interface Found {
  /** What to write for it: an alias's name or an id. */
  reference: string;
  alias: { name: string; version: number } | null;
  file: FileFacts;
}

/** Files by name, id, alias, tag (`#tag`) or property (`key=value`), as a person types. */
async function find(project: string, text: string): Promise<Found[]> {
  const words = bare(text);
  if (isId(words)) {
    const { datum } = await ask(ONE, { id: words });
    const file = datum && readFragment(FILE, datum);
    return file ? [{ reference: file.id, alias: null, file }] : [];
  }
  const isProperty = /^[^=\s]+=/.test(words);
  const filter = words.startsWith("#")
    ? { tagsAll: [words.slice(1)] }
    : isProperty
      ? { properties: Object.fromEntries([splitProperty(words)]) }
      : words
        ? { text: words }
        : {};
  const byName = !words.startsWith("#") && !isProperty;
  const [aliases, data] = await Promise.all([
    byName ? ask(ALIASES, { project, text: words }) : null,
    ask(FIND, { project, filter }),
  ]);
  const found: Found[] = [];
  for (const alias of aliases?.project?.aliases.nodes ?? []) {
    const file = alias.datum && readFragment(FILE, alias.datum);
    if (file) found.push({ reference: alias.name, alias: { name: alias.name, version: alias.version }, file });
  }
  for (const each of data.project?.data.nodes ?? []) {
    const file = readFragment(FILE, each);
    found.push({ reference: file.id, alias: null, file });
  }
  return found;
}

export function FilePicker({
  label,
  picked,
  pick,
  clear,
}: {
  label: string;
  picked: Found | null;
  pick: (found: Found) => void;
  clear: () => void;
}) {
  const project = useProject();
  const [text, setText] = useState("");
  const settled = useSettled(text);
  const { data, failure, reload } = useLoaded(() => find(project.id, settled), `${project.id} ${settled}`);
  if (picked)
    return (
      <div className="picked">
        <p>
          <strong>{label}:</strong>{" "}
          {picked.alias && (
            <>
              <code>{picked.alias.name}</code> →{" "}
            </>
          )}
          {picked.file.name} (<Size bytes={picked.file.size} />, <Time at={picked.file.createdAt} />)
        </p>
        <button type="button" className="small" onClick={clear}>
          Choose another
        </button>
      </div>
    );
  return (
    <div className="picker">
      <Field label={label} hint="A name, an alias, an id, #tag or key=value.">
        {(id, hint) => (
          <input
            id={id}
            aria-describedby={hint}
            type="search"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        )}
      </Field>
      {failure && <Problem failure={failure} retry={reload} />}
      {!data && !failure && <Loading what="files" />}
      {data && (
        <ul className="choices" aria-label="What was found">
          {data.map((each) => (
            <li key={`${each.alias?.name ?? ""} ${each.file.id}`}>
              <button type="button" onClick={() => pick(each)}>
                <span>
                  {each.alias && <span className="badge">alias</span>}
                  {each.alias ? `${each.alias.name} → ${each.file.name}` : each.file.name}
                </span>
                <span className="quiet">
                  <Size bytes={each.file.size} /> · <Time at={each.file.createdAt} /> <Tags tags={each.file.tags} />
                </span>
              </button>
            </li>
          ))}
          {data.length === 0 && (
            <li className="quiet">
              Nothing was found. Files are pushed with <code>waymark data push</code>, or dropped on the data view.
            </li>
          )}
        </ul>
      )}
    </div>
  );
}

/** What tells files of one name apart. */
export function Marks({ slug, file }: { slug: string; file: FileFacts }) {
  return (
    <>
      <Size bytes={file.size} />
      {file.checksums.sha256 && (
        <>
          {" "}
          · sha256 <code title={file.checksums.sha256}>{file.checksums.sha256.slice(0, 8)}</code>
        </>
      )}
      {file.producedBy && (
        <>
          {" "}
          · made by <ExecutionLink slug={slug} execution={file.producedBy} />
        </>
      )}
    </>
  );
}

/** Two files side by side; what differs is marked, by more than colour. */
export function Comparison({
  slug,
  sides,
}: {
  slug: string;
  sides: readonly [
    { title: string; file: FragmentOf<typeof FILE> | null },
    { title: string; file: FragmentOf<typeof FILE> | null },
  ];
}) {
  const [left, right] = sides.map((each) => (each.file ? readFragment(FILE, each.file) : null)) as [
    FileFacts | null,
    FileFacts | null,
  ];
  const rows: [string, (file: FileFacts) => ReactNode, (file: FileFacts) => unknown][] = [
    ["Name", (file) => file.name, (file) => file.name],
    ["Size", (file) => <Size bytes={file.size} />, (file) => file.size],
    ["sha256", (file) => <code>{file.checksums.sha256 ?? "not yet known"}</code>, (file) => file.checksums.sha256],
    ["md5", (file) => <code>{file.checksums.md5 ?? "not yet known"}</code>, (file) => file.checksums.md5],
    ["Tags", (file) => <Tags tags={file.tags} />, (file) => JSON.stringify([...file.tags].sort())],
    ["Properties", (file) => <Values value={file.properties} />, (file) => JSON.stringify(file.properties)],
    [
      "Made by",
      (file) =>
        file.producedBy ? (
          <ExecutionLink slug={slug} execution={file.producedBy} />
        ) : (
          <span className="quiet">an upload</span>
        ),
      (file) => file.producedBy?.number,
    ],
    ["Created", (file) => <Time at={file.createdAt} exact />, (file) => file.createdAt],
  ];
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Comparison">
      <table className="comparison">
        <thead>
          <tr>
            <td />
            <th scope="col">{sides[0].title}</th>
            <th scope="col">{sides[1].title}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, show, same]) => {
            const differs = (left ? same(left) : null) !== (right ? same(right) : null);
            return (
              <tr key={name} className={differs ? "differs" : ""}>
                <th scope="row">
                  {differs ? "≠ " : "= "}
                  {name}
                </th>
                <td>{left ? show(left) : <span className="quiet">nowhere</span>}</td>
                <td>{right ? show(right) : <span className="quiet">nowhere</span>}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
