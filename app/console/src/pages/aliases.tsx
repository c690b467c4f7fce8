import { useEffect, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { ask, follow } from "../api.ts";
import { graphql } from "../graphql.ts";
import { NOTHING } from "../parts/list.ts";
import { useCalm, usePages, useSettled } from "../parts/loading.ts";
import { MoveDialog } from "../parts/move.tsx";
import {
  AliasLink,
  DatumLink,
  Empty,
  ExecutionLink,
  Heading,
  Loading,
  More,
  Problem,
  Size,
  Time,
} from "../parts/ui.tsx";
import { may, useProject, useViewer } from "../session.ts";

const LIST = graphql(`
  query Aliases($project: ID!, $text: String, $after: String, $first: Int!) {
    project(id: $project) {
      aliases(filter: { name: { contains: $text } }, first: $first, after: $after) {
        nodes {
          id
          name
          version
          updatedAt
          datum {
            id
            name
            size
          }
          history(first: 1) {
            nodes {
              actor {
                name
              }
              execution {
                number
              }
            }
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

export const CHANGED = graphql(`
  subscription AliasChanged($project: ID!, $names: [String!]) {
    aliasChanged(project: $project, names: $names) {
      id
    }
  }
`);

export function AliasesPage() {
  const project = useProject();
  const viewer = useViewer();
  const [search, setSearch] = useSearchParams();
  const [, navigate] = useLocation();
  const [text, setText] = useState(search.get("q") ?? "");
  const settled = useSettled(text);
  const [moving, setMoving] = useState<readonly string[]>();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const pages = usePages(async (after, first) => {
    const found = await ask(LIST, { project: project.id, text: settled || null, after, first });
    return found.project?.aliases ?? NOTHING;
  }, `aliases ${project.id} ${settled}`);

  useEffect(() => {
    if ((search.get("q") ?? "") !== settled) setSearch(settled ? { q: settled } : {}, { replace: true });
  }, [settled, search, setSearch]);
  const { reload } = pages;
  const calmly = useCalm(reload);
  useEffect(() => follow(CHANGED, { project: project.id, names: null }, calmly), [project.id, calmly]);

  const toggle = (name: string) =>
    setChosen((before) => {
      const after = new Set(before);
      if (!after.delete(name)) after.add(name);
      return after;
    });
  const mayWrite = may(viewer, "WRITE");
  return (
    <>
      <div className="title">
        <Heading text="Aliases" />
        <input
          type="search"
          aria-label="Search aliases"
          placeholder="Search"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        {mayWrite && chosen.size > 0 && (
          <button type="button" onClick={() => setMoving([...chosen])}>
            Move {chosen.size} …
          </button>
        )}
        {mayWrite && (
          <button type="button" className="primary" onClick={() => setMoving([])}>
            Create an alias
          </button>
        )}
      </div>
      {pages.failure && <Problem failure={pages.failure} retry={pages.reload} />}
      {pages.loading && pages.items.length === 0 && <Loading what="aliases" />}
      {!pages.loading && !pages.failure && pages.items.length === 0 && (
        <Empty title={settled ? `No alias has “${settled}” in its name` : "There are no aliases yet"}>
          {settled ? (
            <button type="button" onClick={() => setText("")}>
              Show all
            </button>
          ) : (
            <p>
              An alias is a name that you can move from file to file. Create one, or push a file with{" "}
              <code>waymark data push model.pkl --alias model-prod</code>.
            </p>
          )}
        </Empty>
      )}
      {pages.items.length > 0 && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Aliases">
          <table className="list">
            <thead>
              <tr>
                {mayWrite && (
                  <th>
                    <span className="unseen">Choose</span>
                  </th>
                )}
                <th>Name</th>
                <th>Points at</th>
                <th>Size</th>
                <th>Version</th>
                <th>Last moved</th>
                <th>By</th>
              </tr>
            </thead>
            <tbody>
              {pages.items.map((alias) => (
                <tr key={alias.id}>
                  {mayWrite && (
                    <td>
                      <input
                        type="checkbox"
                        aria-label={`Choose ${alias.name}`}
                        checked={chosen.has(alias.name)}
                        onChange={() => toggle(alias.name)}
                      />
                    </td>
                  )}
                  <th scope="row">
                    <AliasLink slug={project.slug} name={alias.name} />
                  </th>
                  <td>
                    <DatumLink slug={project.slug} datum={alias.datum} />
                  </td>
                  <td>{alias.datum && <Size bytes={alias.datum.size} />}</td>
                  <td>{alias.version}</td>
                  <td>
                    <Time at={alias.updatedAt} />
                  </td>
                  <td>
                    {alias.history.nodes[0]?.actor?.name ?? "nobody"}
                    {alias.history.nodes[0]?.execution && (
                      <>
                        {" "}
                        by <ExecutionLink slug={project.slug} execution={alias.history.nodes[0].execution} />
                      </>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <More {...pages} />
      {moving && (
        <MoveDialog
          names={moving}
          close={() => setMoving(undefined)}
          moved={() => {
            setChosen(new Set());
            reload();
            if (moving.length === 1)
              navigate(`/projects/${project.slug}/aliases/${encodeURIComponent(moving[0] ?? "")}`);
          }}
        />
      )}
    </>
  );
}
