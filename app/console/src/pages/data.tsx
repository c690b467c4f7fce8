import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState, type DragEvent } from "react";
import { useSearchParams } from "wouter";
import { ask } from "../api.ts";
import { graphql } from "../graphql.ts";
import {
  asInput,
  joinProperty,
  readFilter,
  splitList,
  splitProperty,
  writeFilter,
  type DataFilter,
} from "../parts/filter.ts";
import { NOTHING } from "../parts/list.ts";
import { useAction, useLoaded, usePages, useSettled } from "../parts/loading.ts";
import { DatumLink, Empty, Field, Heading, Loading, Problem, Size, Tags, Time } from "../parts/ui.tsx";
import { filesDropped } from "../parts/dropped.ts";
import { uploads } from "../parts/uploading.ts";
import { useArrivals } from "../parts/uploads.tsx";
import { may, useProject, useViewer } from "../session.ts";

const LIST = graphql(`
  query Data($project: ID!, $filter: DatumFilter!, $after: String, $first: Int!) {
    project(id: $project) {
      data(filter: $filter, first: $first, after: $after) {
        nodes {
          id
          name
          size
          origin
          tags
          createdAt
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

const STORES = graphql(`
  query StoresForFilter($project: ID!) {
    project(id: $project) {
      stores {
        id
        name
      }
    }
  }
`);

const ROW_HEIGHT = 44;

export function DataPage() {
  const project = useProject();
  const viewer = useViewer();
  const [search, setSearch] = useSearchParams();
  const [filter, setFilter] = useState(() => readFilter(search));
  const address = useSettled(writeFilter(filter).toString());
  const pages = usePages(async (after, first) => {
    const found = await ask(LIST, {
      project: project.id,
      filter: asInput(readFilter(new URLSearchParams(address))),
      after,
      first,
    });
    return found.project?.data ?? NOTHING;
  }, `data ${project.id} ${address}`);
  useArrivals(pages.reload);
  const add = (files: Iterable<File> | null) => uploads.add(project.id, files ?? []);
  const [dropping, setDropping] = useState(false);
  const reading = useAction();
  const input = useRef<HTMLInputElement>(null);
  const mayWrite = may(viewer, "WRITE");

  const own = useRef(address);
  useEffect(() => {
    own.current = address;
    if (search.toString() !== address) setSearch(new URLSearchParams(address), { replace: true });
    // only what was typed here goes to the address bar
  }, [address]); // the address bar's own changes are read below
  useEffect(() => {
    if (search.toString() !== own.current) setFilter(readFilter(search));
  }, [search]);

  const drop = (event: DragEvent) => {
    event.preventDefault();
    setDropping(false);
    if (mayWrite) void reading.run(async () => add(await filesDropped(event.dataTransfer)));
  };
  return (
    <div
      className={dropping ? "dropping" : ""}
      onDragOver={(event) => {
        event.preventDefault();
        setDropping(mayWrite);
      }}
      onDragLeave={() => setDropping(false)}
      onDrop={drop}
    >
      <div className="title">
        <Heading text="Data" />
        {mayWrite && (
          <>
            <span className="quiet">Drop files anywhere here, or</span>
            <button type="button" className="primary" onClick={() => input.current?.click()}>
              Upload files
            </button>
            <input
              ref={input}
              type="file"
              multiple
              hidden
              aria-label="Files to upload"
              onChange={(event) => {
                add(event.target.files);
                event.target.value = "";
              }}
            />
          </>
        )}
      </div>
      {reading.failure && <Problem failure={reading.failure} />}
      <Filters filter={filter} set={setFilter} />
      {pages.failure && <Problem failure={pages.failure} retry={pages.reload} />}
      {pages.loading && pages.items.length === 0 && <Loading what="files" />}
      {!pages.loading && !pages.failure && pages.items.length === 0 && (
        <Empty title={address ? "No file is like that" : "There are no files yet"}>
          {address ? (
            <button type="button" onClick={() => setFilter(readFilter(new URLSearchParams()))}>
              Show all
            </button>
          ) : (
            <p>
              Drop some here, or push them with <code>waymark data push</code>.
            </p>
          )}
        </Empty>
      )}
      <Rows slug={project.slug} items={pages.items} hasMore={pages.hasMore} more={pages.more} />
    </div>
  );
}

interface Row {
  id: string;
  name: string;
  size: string;
  origin: string;
  tags: readonly string[];
  createdAt: string;
}

/** Only what is seen is in the page, so that a list of any length scrolls. */
function Rows({
  slug,
  items,
  hasMore,
  more,
}: {
  slug: string;
  items: readonly Row[];
  hasMore: boolean;
  more: () => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  const virtualizer = useWindowVirtualizer({
    count: items.length,
    estimateSize: () => ROW_HEIGHT,
    overscan: 20,
    scrollMargin: list.current?.offsetTop ?? 0,
  });
  const seen = virtualizer.getVirtualItems();
  const last = seen.at(-1)?.index ?? 0;
  useEffect(() => {
    if (hasMore && items.length > 0 && last >= items.length - 40) more();
  });
  if (items.length === 0) return null;
  return (
    <div role="table" aria-label="Files" aria-rowcount={hasMore ? -1 : items.length + 1} className="rows">
      <div role="row" className="row heading">
        <span role="columnheader">Name</span>
        <span role="columnheader">Size</span>
        <span role="columnheader">Tags</span>
        <span role="columnheader">Origin</span>
        <span role="columnheader">Created</span>
      </div>
      <div ref={list} role="rowgroup" style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
        {seen.map((each) => {
          const item = items[each.index];
          return item ? (
            <div
              key={item.id}
              role="row"
              aria-rowindex={each.index + 2}
              className="row"
              style={{
                position: "absolute",
                insetInline: 0,
                height: ROW_HEIGHT,
                transform: `translateY(${each.start - virtualizer.options.scrollMargin}px)`,
              }}
            >
              <span role="cell">
                <DatumLink slug={slug} datum={item} />
              </span>
              <span role="cell">
                <Size bytes={item.size} />
              </span>
              <span role="cell">
                <Tags tags={item.tags} />
              </span>
              <span role="cell">{item.origin.toLowerCase()}</span>
              <span role="cell">
                <Time at={item.createdAt} />
              </span>
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
}

const isWide = () => matchMedia("(min-width: 40rem)").matches;

function Filters({ filter, set }: { filter: DataFilter; set: (filter: DataFilter) => void }) {
  const project = useProject();
  const stores = useLoaded(async () => (await ask(STORES, { project: project.id })).project?.stores ?? [], project.id);
  return (
    <search className="filters" aria-label="Filter">
      <Field label="Text" hint="In names and tags.">
        {(id, hint) => (
          <input
            id={id}
            aria-describedby={hint}
            type="search"
            value={filter.text}
            onChange={(event) => set({ ...filter, text: event.target.value })}
          />
        )}
      </Field>
      <details open={isWide() || writeFilter({ ...filter, text: "" }).size > 0}>
        <summary>Tags, properties, origin, store and date</summary>
        <div>
          <ListField
            label="Tags"
            hint="All of them, separated by commas."
            items={filter.tags}
            read={splitList}
            set={(tags) => set({ ...filter, tags })}
          />
          <ListField
            label="Properties"
            hint="Such as accuracy=0.9, …"
            items={Object.entries(filter.properties).map(joinProperty)}
            read={(text) =>
              splitList(text)
                .filter((each) => each.includes("="))
                .map(splitProperty)
                .map(joinProperty)
            }
            set={(items) => set({ ...filter, properties: Object.fromEntries(items.map(splitProperty)) })}
          />
          <Field label="Origin">
            {(id) => (
              <select
                id={id}
                value={filter.origin}
                onChange={(event) => set({ ...filter, origin: event.target.value as DataFilter["origin"] })}
              >
                <option value="">any</option>
                <option value="UPLOAD">uploaded</option>
                <option value="EXECUTION">made by an execution</option>
                <option value="ADOPTED">adopted</option>
              </select>
            )}
          </Field>
          <Field label="Store">
            {(id) => (
              <select id={id} value={filter.store} onChange={(event) => set({ ...filter, store: event.target.value })}>
                <option value="">any</option>
                {stores.data?.map((each) => (
                  <option key={each.id} value={each.id}>
                    {each.name}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {(["since", "until"] as const).map((end) => (
            <Field key={end} label={end === "since" ? "From" : "To"}>
              {(id) => (
                <input
                  id={id}
                  type="date"
                  value={filter[end]}
                  onChange={(event) => set({ ...filter, [end]: event.target.value })}
                />
              )}
            </Field>
          ))}
        </div>
      </details>
    </search>
  );
}

/** What is typed stays as it was typed, unless the list is changed elsewhere. */
function ListField({
  label,
  hint,
  items,
  read,
  set,
}: {
  label: string;
  hint: string;
  items: readonly string[];
  read: (text: string) => string[];
  set: (items: string[]) => void;
}) {
  const [text, setText] = useState(() => items.join(", "));
  const isOwn = read(text).join("\n") === items.join("\n");
  return (
    <Field label={label} hint={hint}>
      {(id, describedBy) => (
        <input
          id={id}
          aria-describedby={describedBy}
          value={isOwn ? text : items.join(", ")}
          onChange={(event) => {
            setText(event.target.value);
            set(read(event.target.value));
          }}
        />
      )}
    </Field>
  );
}
