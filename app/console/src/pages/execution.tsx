import { Fragment, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import { ask, change, follow } from "../api.ts";
import { graphql, type ResultOf } from "../graphql.ts";
import { useAction, useCalm, useLoaded } from "../parts/loading.ts";
import {
  AliasLink,
  DatumLink,
  Dialog,
  Empty,
  ExecutionLink,
  Form,
  Heading,
  Loading,
  Problem,
  Size,
  Status,
  Time,
  Values,
} from "../parts/ui.tsx";
import { may, useProject, useViewer } from "../session.ts";
import { UPDATED } from "./executions.tsx";

const EXECUTION = graphql(`
  query Execution($project: ID!, $number: Int!) {
    project(id: $project) {
      execution(number: $number) {
        id
        number
        title
        step
        image
        command
        parameters
        tags
        status
        attempt
        exitCode
        createdAt
        startedAt
        finishedAt
        createdBy {
          name
        }
        environment {
          name
          value
          secret
        }
        inputs {
          name
          files(first: 100) {
            nodes {
              reference
              aliasVersion
              filename
              alias {
                name
                version
                datum {
                  id
                  name
                }
              }
              datum {
                id
                name
                size
              }
            }
            totalCount
          }
        }
        outputs(first: 100) {
          nodes {
            id
            name
            size
          }
          totalCount
        }
        warnings {
          code
          message
          at
        }
        aliasHistory {
          id
          version
          alias {
            name
          }
          from {
            id
            name
          }
          to {
            id
            name
          }
        }
        metadata(last: 1) {
          nodes {
            at
            values
          }
        }
        copyOf {
          number
          title
          step
        }
        task {
          number
          title
        }
      }
    }
  }
`);

const LOG = graphql(`
  query Log($execution: ID!, $before: String) {
    execution(id: $execution) {
      logs(last: 500, before: $before) {
        nodes {
          sequence
          at
          stream
          message
        }
        pageInfo {
          hasPreviousPage
          startCursor
        }
      }
    }
  }
`);

const LOGGED = graphql(`
  subscription LogAdded($execution: ID!, $after: Int) {
    logAdded(execution: $execution, after: $after) {
      sequence
      at
      stream
      message
    }
  }
`);

const STOP = graphql(`
  mutation StopExecution($input: StopExecutionInput!) {
    stopExecution(input: $input) {
      execution {
        id
        status
      }
    }
  }
`);

const COPY = graphql(`
  mutation CopyExecution($input: CopyExecutionInput!) {
    copyExecution(input: $input) {
      execution {
        number
      }
    }
  }
`);

const ended = new Set(["STOPPED", "ERROR", "COMPLETE"]);

export function ExecutionPage() {
  const { number = "" } = useParams<{ number: string }>();
  const project = useProject();
  const viewer = useViewer();
  const { data, failure, reload } = useLoaded(
    async () =>
      /^\d{1,9}$/.test(number)
        ? ((await ask(EXECUTION, { project: project.id, number: Number(number) })).project?.execution ?? null)
        : null,
    `${project.id} ${number}`,
  );
  const [copying, setCopying] = useState(false);
  const stopping = useAction();
  const id = data?.id;
  const calmly = useCalm(reload);
  useEffect(() => (id ? follow(UPDATED, { project: null, execution: id }, calmly) : undefined), [id, calmly]);
  if (failure && !data) return <Problem failure={failure} retry={reload} />;
  if (data === undefined) return <Loading what={`execution ${number}`} />;
  if (data === null)
    return (
      <Empty title={`There is no execution ${number}`}>
        <Link href={`/projects/${project.slug}/executions`}>To the executions</Link>
      </Empty>
    );
  const mayWrite = may(viewer, "WRITE");
  return (
    <>
      <div className="title">
        <Heading text={`#${data.number} ${data.title ?? data.step ?? ""}`} />
        <Status status={data.status} />
        <Link className="button" href={`/projects/${project.slug}/lineage/execution/${data.id}`}>
          Lineage
        </Link>
        {mayWrite && (
          <button type="button" onClick={() => setCopying(true)}>
            Copy
          </button>
        )}
        {mayWrite && !ended.has(data.status) && (
          <button
            type="button"
            className="danger"
            disabled={stopping.busy || data.status === "STOPPING"}
            onClick={() =>
              void stopping.run(async () => {
                await change(STOP, { input: { execution: data.id } });
                reload();
              })
            }
          >
            Stop
          </button>
        )}
      </div>
      {stopping.failure && <Problem failure={stopping.failure} />}
      <p className="quiet">
        Created <Time at={data.createdAt} />
        {data.createdBy && ` by ${data.createdBy.name}`}
        {data.copyOf && (
          <>
            {" "}
            as a copy of <ExecutionLink slug={project.slug} execution={data.copyOf} />
          </>
        )}
        {data.task && <> in task {[data.task.number, data.task.title].filter(Boolean).join(" ")}</>}
        {data.startedAt && (
          <>
            , started <Time at={data.startedAt} />
          </>
        )}
        {data.finishedAt && (
          <>
            , ended <Time at={data.finishedAt} />
          </>
        )}
        {data.attempt > 1 && `, attempt ${data.attempt}`}
        {data.exitCode !== null && `, the command returned ${data.exitCode}`}
      </p>
      {data.warnings.length > 0 && (
        <section className="warnings" aria-label="Warnings">
          <h2>Warnings</h2>
          <ul className="plain">
            {data.warnings.map((each, place) => (
              <li key={place}>
                ⚠ <strong>{each.code}</strong> {each.message}{" "}
                <span className="quiet">
                  <Time at={each.at} />
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <h2>Inputs</h2>
      {data.inputs.length === 0 ? (
        <p className="quiet">none</p>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Inputs">
          <table className="list">
            <thead>
              <tr>
                <th>Input</th>
                <th>As written</th>
                <th>What it meant</th>
                <th>By the alias</th>
                <th>Which points now at</th>
              </tr>
            </thead>
            <tbody>
              {data.inputs.map((input) => (
                <Fragment key={input.name}>
                  {input.files.nodes.map((file, place) => (
                    <tr key={place}>
                      <th scope="row">{place === 0 && input.name}</th>
                      <td>
                        <code>{file.reference}</code>
                      </td>
                      <td>
                        {file.datum ? (
                          <>
                            <DatumLink slug={project.slug} datum={file.datum} /> (<Size bytes={file.datum.size} />)
                          </>
                        ) : (
                          <span className="quiet">an address, fetched when it runs</span>
                        )}
                      </td>
                      <td>
                        {file.alias && (
                          <>
                            <AliasLink slug={project.slug} name={file.alias.name} /> version {file.aliasVersion}
                          </>
                        )}
                      </td>
                      <td>
                        {file.alias &&
                          (file.alias.version === file.aliasVersion ? (
                            <span className="quiet">the same</span>
                          ) : (
                            <>
                              ≠ <DatumLink slug={project.slug} datum={file.alias.datum} /> (version {file.alias.version}
                              )
                            </>
                          ))}
                      </td>
                    </tr>
                  ))}
                  {input.files.totalCount > input.files.nodes.length && (
                    <tr>
                      <td colSpan={5} className="quiet">
                        and {input.files.totalCount - input.files.nodes.length} more files of {input.name}
                      </td>
                    </tr>
                  )}
                </Fragment>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <h2>Outputs</h2>
      {data.outputs.nodes.length === 0 ? (
        <p className="quiet">none{ended.has(data.status) ? "" : " yet"}</p>
      ) : (
        <ul className="plain">
          {data.outputs.nodes.map((each) => (
            <li key={each.id}>
              <DatumLink slug={project.slug} datum={each} />{" "}
              <span className="quiet">
                <Size bytes={each.size} />
              </span>
            </li>
          ))}
          {data.outputs.totalCount > data.outputs.nodes.length && (
            <li className="quiet">and {data.outputs.totalCount - data.outputs.nodes.length} more</li>
          )}
        </ul>
      )}
      {data.aliasHistory.length > 0 && (
        <>
          <h2>Aliases it moved</h2>
          <ul className="plain">
            {data.aliasHistory.map((each) => (
              <li key={each.id}>
                <AliasLink slug={project.slug} name={each.alias.name} /> version {each.version}:{" "}
                <DatumLink slug={project.slug} datum={each.from} /> → <DatumLink slug={project.slug} datum={each.to} />
              </li>
            ))}
          </ul>
        </>
      )}
      {data.metadata.nodes[0] && (
        <>
          <h2>Metadata, the newest</h2>
          <Values value={data.metadata.nodes[0].values} />
        </>
      )}
      <Log key={data.id} execution={data.id} />
      <h2>Command</h2>
      <pre tabIndex={0}>{data.command.join("\n")}</pre>
      {data.image && (
        <p>
          Image <code>{data.image}</code>
        </p>
      )}
      <h3>Parameters</h3>
      <Values value={data.parameters} />
      <h3>Environment</h3>
      <Values
        value={Object.fromEntries(
          data.environment.map((each) => [each.name, each.secret ? "••• (secret)" : each.value]),
        )}
      />
      {copying && <CopyDialog execution={data} close={() => setCopying(false)} />}
    </>
  );
}

type Line = NonNullable<ResultOf<typeof LOG>["execution"]>["logs"]["nodes"][number];

const newestOf = (lines: readonly Line[]) => lines.at(-1)?.sequence ?? 0;

function Log({ execution }: { execution: string }) {
  const [lines, setLines] = useState<readonly Line[]>([]);
  const [earlier, setEarlier] = useState<string | null>(null);
  const { busy, failure, run } = useAction();
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);

  const load = useCallback(
    async (before: string | null) => {
      const page = (await ask(LOG, { execution, before })).execution?.logs;
      if (page) setEarlier(page.pageInfo.hasPreviousPage ? page.pageInfo.startCursor : null);
      return page?.nodes ?? [];
    },
    [execution],
  );
  useEffect(() => {
    let stop = () => {};
    let gone = false;
    let arrived: Line[] = [];
    let frame = 0;
    // lines come in bursts, and some again after a lost connection
    const flush = () => {
      frame = 0;
      const added = arrived;
      arrived = [];
      setLines((before) => [...before, ...added.filter((line) => line.sequence > newestOf(before))]);
    };
    void run(async () => {
      const first = await load(null);
      if (gone) return;
      setLines(first);
      stop = follow(LOGGED, { execution, after: newestOf(first) }, (event) => {
        if (event) arrived.push(event.logAdded);
        if (event && !frame) frame = requestAnimationFrame(flush);
      });
    });
    return () => {
      gone = true;
      cancelAnimationFrame(frame);
      stop();
    };
  }, [execution, load, run]);
  useLayoutEffect(() => {
    if (box.current && atEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);

  const follows = () => {
    const log = box.current;
    atEnd.current = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  };
  const showEarlier = () =>
    void run(async () => {
      const page = await load(earlier);
      atEnd.current = false;
      setLines((before) => [...page, ...before]);
    });
  return (
    <>
      <div className="title">
        <h2>Log</h2>
        {earlier && (
          <button type="button" className="small" disabled={busy} onClick={showEarlier}>
            Show earlier lines
          </button>
        )}
      </div>
      {failure && <Problem failure={failure} />}
      <div ref={box} className="log" role="log" aria-label="Log" tabIndex={0} onScroll={follows}>
        {lines.length === 0 && <p className="quiet">Nothing was said yet; lines appear here as they are written.</p>}
        {lines.map((each) => (
          <div key={each.sequence} className={`line line-${each.stream.toLowerCase()}`}>
            <time dateTime={each.at} title={each.at}>
              {new Date(each.at).toLocaleTimeString()}
            </time>{" "}
            {each.stream !== "STDOUT" && <span className="badge">{each.stream.toLowerCase()}</span>} {each.message}
          </div>
        ))}
      </div>
    </>
  );
}

interface Copied {
  id: string;
  inputs: readonly {
    name: string;
    files: {
      nodes: readonly {
        reference: string;
        aliasVersion: number | null;
        datum: { id: string; name: string } | null;
        alias: { name: string; version: number; datum: { id: string; name: string } | null } | null;
      }[];
    };
  }[];
}

function CopyDialog({ execution, close }: { execution: Copied; close: () => void }) {
  const project = useProject();
  const [, navigate] = useLocation();
  const [reresolve, setReresolve] = useState(false);
  const { busy, failure, run } = useAction();
  const moved = execution.inputs.flatMap((input) =>
    input.files.nodes
      .filter((file) => file.alias && file.alias.datum?.id !== file.datum?.id)
      .map((file) => ({ input: input.name, ...file })),
  );
  return (
    <Dialog title="Copy the execution" close={close}>
      <Form
        label="Copy"
        act={() =>
          void run(async () => {
            const made = await change(COPY, { input: { execution: execution.id, reresolve } });
            navigate(`/projects/${project.slug}/executions/${made.copyExecution.execution.number}`);
            close();
          })
        }
      >
        <fieldset>
          <legend>Its inputs are</legend>
          <label>
            <input type="radio" name="which" checked={!reresolve} onChange={() => setReresolve(false)} /> the same files
          </label>
          <label>
            <input type="radio" name="which" checked={reresolve} onChange={() => setReresolve(true)} /> the files where
            the aliases point now
          </label>
        </fieldset>
        {moved.length === 0 ? (
          <p className="quiet">All aliases still point at the same files, so these are the same.</p>
        ) : (
          <table className="list">
            <caption>The difference</caption>
            <thead>
              <tr>
                <th>Input</th>
                <th>Alias</th>
                <th>The same file</th>
                <th>Where it points now</th>
              </tr>
            </thead>
            <tbody>
              {moved.map((each, place) => (
                <tr key={place}>
                  <th scope="row">{each.input}</th>
                  <td>{each.alias?.name}</td>
                  <td>
                    {each.datum?.name} (version {each.aliasVersion})
                  </td>
                  <td>
                    {each.alias?.datum?.name ?? "nowhere"} (version {each.alias?.version})
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {failure && <Problem failure={failure} />}
        <div className="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button className="primary" disabled={busy}>
            {busy ? "Copying …" : "Copy"}
          </button>
        </div>
      </Form>
    </Dialog>
  );
}
