/** What a view has loaded so far: one thing, or a list that grows page by page. */
import { useCallback, useEffect, useRef, useState } from "react";
import { Failure } from "../api.ts";

export interface Loaded<Data> {
  data: Data | undefined;
  failure: Failure | undefined;
  loading: boolean;
  reload: () => void;
}

/** Loads again whenever `key` changes; what was there stays to be seen meanwhile, unless it is of another `key`. */
export function useLoaded<Data>(load: () => Promise<Data>, key: string): Loaded<Data> {
  const [state, setState] = useState<{ key: string; data?: Data; failure?: Failure }>({ key });
  const [round, setRound] = useState(0);
  const newest = useRef(load);
  newest.current = load;
  useEffect(() => {
    let current = true;
    newest.current().then(
      (data) => current && setState({ key, data }),
      (error: unknown) => current && setState((before) => ({ ...(before.key === key ? before : { key }), failure: asFailure(error) })),
    );
    return () => {
      current = false;
    };
  }, [key, round]);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  const own = state.key === key ? state : { key };
  return {
    data: own.data,
    failure: own.failure,
    loading: own.data === undefined && own.failure === undefined,
    reload,
  };
}

export interface Page<Item> {
  nodes: readonly Item[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

export interface Pages<Item> {
  items: readonly Item[];
  failure: Failure | undefined;
  loading: boolean;
  hasMore: boolean;
  more: () => void;
  reload: () => void;
}

/** A keyset-paged list, from its beginning whenever `key` changes. */
export function usePages<Item>(load: (after: string | null) => Promise<Page<Item>>, key: string): Pages<Item> {
  interface State {
    key: string;
    items: readonly Item[];
    cursor: string | null;
    hasMore: boolean;
    failure: Failure | undefined;
  }
  const empty: State = { key, items: [], cursor: null, hasMore: true, failure: undefined };
  const [state, setState] = useState<State>(empty);
  const newest = useRef(load);
  newest.current = load;
  const wanted = useRef(key);
  wanted.current = key;
  const busy = useRef<string | null>(null);

  const fetch = useCallback((from: string | null, before: readonly Item[]) => {
    const own = wanted.current;
    const mark = `${own}\n${from ?? ""}`;
    if (busy.current === mark) return;
    busy.current = mark;
    newest
      .current(from)
      .then(
        (page) => {
          if (wanted.current !== own || busy.current !== mark) return;
          const { hasNextPage, endCursor } = page.pageInfo;
          setState({ key: own, items: [...before, ...page.nodes], cursor: endCursor, hasMore: hasNextPage, failure: undefined });
        },
        (error: unknown) => {
          if (wanted.current === own && busy.current === mark)
            setState((was) => ({ ...was, key: own, items: before, failure: asFailure(error) }));
        },
      )
      .finally(() => {
        if (busy.current === mark) busy.current = null;
      });
  }, []);

  useEffect(() => fetch(null, []), [key, fetch]);
  const own = state.key === key ? state : empty;
  return {
    items: own.items,
    failure: own.failure,
    loading: own.failure === undefined && own.hasMore,
    hasMore: own.hasMore,
    more: () => {
      if (own.hasMore && own.items.length > 0) fetch(own.cursor, own.items);
    },
    reload: () => fetch(null, []),
  };
}

export function asFailure(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure(error instanceof Error ? error.message : String(error));
}

/** A value once it has not changed for a while, as for search as you type. */
export function useSettled<Value>(value: Value, milliseconds = 200): Value {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}

/** What a form is doing: it keeps what was entered whatever happens. */
export function useAction(): {
  busy: boolean;
  failure: Failure | undefined;
  clear: () => void;
  run: (act: () => Promise<void>) => Promise<void>;
} {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const run = useCallback(async (act: () => Promise<void>) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await act();
    } catch (error) {
      setFailure(asFailure(error));
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, failure, clear: useCallback(() => setFailure(undefined), []), run };
}

/** An idempotency key that stays the same while what is sent does, so that sending it again is safe. */
export function useAttempt(): (input: unknown) => string {
  const last = useRef<{ text: string; key: string }>(undefined);
  return useCallback((input) => {
    const text = JSON.stringify(input);
    if (last.current?.text !== text) last.current = { text, key: crypto.randomUUID() };
    return last.current.key;
  }, []);
}
