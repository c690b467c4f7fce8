import { useEffect } from "react";
import { Link, useSearchParams } from "wouter";
import { ask, follow } from "../api.ts";
import { graphql } from "../graphql.ts";
import { NOTHING } from "../parts/list.ts";
import { useCalm, usePages } from "../parts/loading.ts";
import { Empty, ExecutionLink, Heading, Loading, More, Problem, Status, Time } from "../parts/ui.tsx";
import { may, useProject, useViewer } from "../session.ts";

const LIST = graphql(`
  query Executions($project: ID!, $filter: ExecutionFilter!, $after: String, $first: Int!) {
    project(id: $project) {
      executions(filter: $filter, first: $first, after: $after) {
        nodes {
          id
          number
          title
          step
          status
          createdAt
          finishedAt
          createdBy {
            name
          }
          warnings {
            code
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

export const UPDATED = graphql(`
  subscription ExecutionUpdated($project: ID, $execution: ID) {
    executionUpdated(project: $project, execution: $execution) {
      id
    }
  }
`);

const statuses = ["CREATED", "QUEUED", "STARTED", "STOPPING", "STOPPED", "ERROR", "COMPLETE"] as const;

export function ExecutionsPage() {
  const project = useProject();
  const viewer = useViewer();
  const [search, setSearch] = useSearchParams();
  const status = statuses.find((each) => each === search.get("status"));
  const warned = search.get("warnings") === "1";
  const filter = { ...(status ? { status: [status] } : {}), ...(warned ? { hasWarnings: true } : {}) };
  const pages = usePages(
    async (after, first) => {
      const found = await ask(LIST, { project: project.id, filter, after, first });
      return found.project?.executions ?? NOTHING;
    },
    `executions ${project.id} ${JSON.stringify(filter)}`,
  );
  const calmly = useCalm(pages.reload);
  useEffect(() => follow(UPDATED, { project: project.id, execution: null }, calmly), [project.id, calmly]);

  const choose = (name: string, value: string) => {
    const next = new URLSearchParams(search);
    if (value) next.set(name, value);
    else next.delete(name);
    setSearch(next, { replace: true });
  };
  return (
    <>
      <div className="title">
        <Heading text="Executions" />
        <select aria-label="Status" value={status ?? ""} onChange={(event) => choose("status", event.target.value)}>
          <option value="">any status</option>
          {statuses.map((each) => (
            <option key={each} value={each}>
              {each.toLowerCase()}
            </option>
          ))}
        </select>
        <label>
          <input
            type="checkbox"
            checked={warned}
            onChange={(event) => choose("warnings", event.target.checked ? "1" : "")}
          />{" "}
          with warnings
        </label>
        {may(viewer, "WRITE") && (
          <Link className="button primary" href={`/projects/${project.slug}/executions/new`}>
            Create an execution
          </Link>
        )}
      </div>
      {pages.failure && <Problem failure={pages.failure} retry={pages.reload} />}
      {pages.loading && pages.items.length === 0 && <Loading what="executions" />}
      {!pages.loading && !pages.failure && pages.items.length === 0 && (
        <Empty title={status || warned ? "No execution is like that" : "There are no executions yet"}>
          <p>
            An execution is a run whose inputs are pinned to exact files. Create one here, or with{" "}
            <code>waymark execution create</code>.
          </p>
        </Empty>
      )}
      {pages.items.length > 0 && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Executions">
          <table className="list">
            <thead>
              <tr>
                <th>Execution</th>
                <th>Status</th>
                <th>Warnings</th>
                <th>Created</th>
                <th>By</th>
                <th>Ended</th>
              </tr>
            </thead>
            <tbody>
              {pages.items.map((each) => (
                <tr key={each.id}>
                  <th scope="row">
                    <ExecutionLink slug={project.slug} execution={each} />
                  </th>
                  <td>
                    <Status status={each.status} />
                  </td>
                  <td>{each.warnings.length > 0 && `⚠ ${each.warnings.length}`}</td>
                  <td>
                    <Time at={each.createdAt} />
                  </td>
                  <td>{each.createdBy?.name}</td>
                  <td>{each.finishedAt && <Time at={each.finishedAt} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <More {...pages} />
    </>
  );
}
