/** What a view has loaded so far: one thing, or a list that grows page by page. */
import { useCallback, useEffect, useRef, useState } from "react";
import { Failure } from "../api.ts";
import { longer, Memory, renewed, type Page } from "./list.ts";
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

const memory = new Memory(20);

/** For when somebody else signs in. */
export function forgetLists(): void {
  memory.clear();
}

/** A keyset-paged list; `key` tells it from all other lists. Who comes back to one finds it as long as it was. */
export function usePages<Item extends { id: string }>(
  load: (after: string | null, first: number) => Promise<Page<Item>>,
  key: string,
): Pages<Item> {
  const [state, setState] = useState<{ key: string; failure?: Failure }>({ key });
  const newest = useRef(load);
  newest.current = load;
  const wanted = useRef(key);
  wanted.current = key;
  const round = useRef(0);
  const busy = useRef(false);

  const fetch = useCallback((from: string | null, first: number) => {
    const own = wanted.current;
    const mine = ++round.current;
    const isNewest = () => round.current === mine && wanted.current === own;
    busy.current = true;
    newest
      .current(from, first)
      .then(
        (page) => {
          if (!isNewest()) return;
          const list = memory.get<Item>(own);
          memory.keep(own, from === null ? renewed(list, page) : longer(list, page));
          setState({ key: own });
        },
        (error: unknown) => isNewest() && setState({ key: own, failure: asFailure(error) }),
      )
      .finally(() => {
        if (round.current === mine) busy.current = false;
      });
  }, []);
  const reload = useCallback(() => {
    const length = memory.get(wanted.current)?.items.length ?? 0;
    fetch(null, Math.min(LARGEST_PAGE, Math.max(PAGE, length)));
  }, [fetch]);
  useEffect(reload, [key, reload]);

  const list = memory.get<Item>(key);
  const failure = state.key === key ? state.failure : undefined;
  return {
    items: list?.items ?? [],
    failure,
    loading: failure === undefined && (list?.hasMore ?? true),
    hasMore: list?.hasMore ?? true,
    more: () => {
      if (!busy.current && failure === undefined && list?.hasMore && list.items.length > 0)
        fetch(list.cursor, list.items.length < LARGEST_PAGE ? PAGE : 4 * PAGE);
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
