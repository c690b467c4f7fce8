/** What a view has loaded so far: one thing, or a list that grows page by page. */
import { useCallback, useEffect, useRef, useState } from "react";
import { Failure } from "../api.ts";
import { unique } from "./words.ts";

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
      (error: unknown) =>
        current && setState((before) => ({ ...(before.key === key ? before : { key }), failure: asFailure(error) })),
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

/** The page of a list that is not there. */
export const NOTHING = { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } };

export interface Pages<Item> {
  items: readonly Item[];
  failure: Failure | undefined;
  loading: boolean;
  hasMore: boolean;
  more: () => void;
  reload: () => void;
}

const PAGE = 50;
const LARGEST_PAGE = 500;

/** A keyset-paged list, from its beginning whenever `key` changes; loaded anew it keeps its length, up to one page. */
export function usePages<Item>(
  load: (after: string | null, first: number) => Promise<Page<Item>>,
  key: string,
): Pages<Item> {
  interface State {
    key: string;
    items: readonly Item[];
    cursor: string | null;
    hasMore: boolean;
    failure: Failure | undefined;
  }
  const empty: State = { key, items: [], cursor: null, hasMore: true, failure: undefined };
  const [state, setState] = useState(empty);
  const newest = useRef(load);
  newest.current = load;
  const wanted = useRef(key);
  wanted.current = key;
  const round = useRef(0);
  const busy = useRef(false);

  const fetch = useCallback((from: string | null, before: readonly Item[], first: number) => {
    const own = wanted.current;
    const mine = ++round.current;
    const isNewest = () => round.current === mine && wanted.current === own;
    busy.current = true;
    newest
      .current(from, first)
      .then(
        ({ nodes, pageInfo: { endCursor, hasNextPage } }) => {
          if (!isNewest()) return;
          const items = [...before, ...nodes];
          setState({ key: own, items, cursor: endCursor, hasMore: hasNextPage, failure: undefined });
        },
        (error: unknown) => {
          if (!isNewest()) return;
          const failure = asFailure(error);
          setState((was) => (was.key === own ? { ...was, failure } : { ...empty, key: own, failure }));
        },
      )
      .finally(() => {
        if (round.current === mine) busy.current = false;
      });
  }, []);

  useEffect(() => fetch(null, [], PAGE), [key, fetch]);
  const own = state.key === key ? state : empty;
  const length = useRef(0);
  length.current = own.items.length;
  const reload = useCallback(() => fetch(null, [], Math.min(LARGEST_PAGE, Math.max(PAGE, length.current))), [fetch]);
  return {
    items: own.items,
    failure: own.failure,
    loading: own.failure === undefined && own.hasMore,
    hasMore: own.hasMore,
    more: () => {
      if (!busy.current && own.failure === undefined && own.hasMore && own.items.length > 0)
        fetch(own.cursor, own.items, own.items.length < LARGEST_PAGE ? PAGE : 4 * PAGE);
    },
    reload,
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

/** Runs `act` at most once a second, and once more after the last call, as for events that come in bursts. */
export function useCalm(act: () => void): () => void {
  const newest = useRef(act);
  newest.current = act;
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const last = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    clearTimeout(timer.current);
    const wait = Math.max(50, last.current + 1000 - Date.now());
    timer.current = setTimeout(() => {
      last.current = Date.now();
      newest.current();
    }, wait);
  }, []);
}

/** An idempotency key that stays the same while what is sent does, so that sending it again is safe. */
export function useAttempt(): (input: unknown) => string {
  const last = useRef<{ text: string; key: string }>(undefined);
  return useCallback((input) => {
    const text = JSON.stringify(input);
    if (last.current?.text !== text) last.current = { text, key: unique() };
    return last.current.key;
  }, []);
}
