/** The pieces that every view is made of. */
import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { Link } from "wouter";
import type { Failure } from "../api.ts";
import type { Pages } from "./loading.ts";
import { ago, local, size } from "./words.ts";

export function Time({ at, exact = false }: { at: string; exact?: boolean }) {
  return (
    <time dateTime={at} title={`${local(at)} (${at})`}>
      {exact ? local(at) : ago(at)}
    </time>
  );
}

export function Size({ bytes }: { bytes: string }) {
  return (
    <span className="size" title={`${bytes} bytes`}>
      {size(bytes)}
    </span>
  );
}

export function Problem({ failure, retry }: { failure: Failure; retry?: (() => void) | undefined }) {
  return (
    <div className="problem" role="alert">
      <p>{failure.message}</p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p className="quiet" role="status">
      Loading {what} …
    </p>
  );
}

/** What the view is about, for the tab too. */
export function Heading({ text }: { text: string }) {
  useEffect(() => {
    document.title = `${text} – Waymark`;
  }, [text]);
  return <h1>{text}</h1>;
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <button
      type="button"
      className="small"
      aria-label={`Copy ${what}`}
      onClick={(event) => {
        void copy(text, event.currentTarget).then(() => {
          setCopied(true);
          setTimeout(() => setCopied(false), 1500);
        });
      }}
    >
      {copied ? "Copied" : "Copy"}
    </button>
  );
}

/** navigator.clipboard is there on https and localhost only. */
async function copy(text: string, beside: HTMLElement): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  // a dialog lets nothing outside it be selected
  beside.parentElement?.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}

export function Tags({ tags }: { tags: readonly string[] }) {
  return tags.map((tag) => (
    <span key={tag} className="tag">
      {tag}
    </span>
  ));
}

export function Status({ status }: { status: string }) {
  return <span className={`status status-${status.toLowerCase()}`}>{status.toLowerCase()}</span>;
}

export function Field({
  label,
  hint,
  fault,
  children,
}: {
  label: string;
  hint?: string;
  fault?: string | null | undefined;
  children: (id: string, describedBy: string) => ReactNode;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id, `${id}-hint`)}
      <p id={`${id}-hint`} className={fault ? "fault" : "hint"} aria-live="polite">
        {fault ?? hint ?? ""}
      </p>
    </div>
  );
}

/** A window over the page, closed by Escape; focus goes to it and back. */
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ReactNode }) {
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        <button type="button" className="small" onClick={close} aria-label="Close">
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

export function Form({ act, children, label }: { act: () => void; children: ReactNode; label: string }) {
  return (
    <form
      aria-label={label}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        act();
      }}
    >
      {children}
    </form>
  );
}

/** Asks for more once its end is nearly seen; a button for who does not scroll. */
export function More({ items, hasMore, more }: Pages<unknown>) {
  const isShown = hasMore && items.length > 0;
  const element = useRef<HTMLButtonElement>(null);
  const newest = useRef(more);
  newest.current = more;
  useEffect(() => {
    if (!isShown || !element.current) return;
    const observer = new IntersectionObserver(
      (entries) => entries.some((each) => each.isIntersecting) && newest.current(),
      { rootMargin: "600px" },
    );
    observer.observe(element.current);
    return () => observer.disconnect();
  });
  return isShown ? (
    <button ref={element} type="button" className="more" onClick={() => more()}>
      More
    </button>
  ) : null;
}

export function DatumLink({ slug, datum }: { slug: string; datum: { id: string; name: string } | null }) {
  return datum ? (
    <Link href={`/projects/${slug}/data/${datum.id}`}>{datum.name}</Link>
  ) : (
    <span className="quiet">nowhere</span>
  );
}

export function AliasLink({ slug, name }: { slug: string; name: string }) {
  return <Link href={`/projects/${slug}/aliases/${encodeURIComponent(name)}`}>{name}</Link>;
}

export function ExecutionLink({
  slug,
  execution,
}: {
  slug: string;
  execution: { number: number; title?: string | null; step?: string | null };
}) {
  const named = execution.title ?? execution.step;
  return (
    <Link
      href={`/projects/${slug}/executions/${execution.number}`}
    >{`#${execution.number}${named ? ` ${named}` : ""}`}</Link>
  );
}

export function Values({ value }: { value: unknown }) {
  const entries = Object.entries((value ?? {}) as Record<string, unknown>);
  if (entries.length === 0) return <span className="quiet">none</span>;
  return (
    <dl className="values">
      {entries.map(([name, each]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <code>{typeof each === "string" ? each : JSON.stringify(each)}</code>
          </dd>
        </div>
      ))}
    </dl>
  );
}
