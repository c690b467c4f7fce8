/** The one way to the server: the public GraphQL API, with the session's cookie. */
import { createClient as createSocket } from "graphql-ws";
import {
  Client,
  CombinedError,
  fetchExchange,
  subscriptionExchange,
  type AnyVariables,
  type TypedDocumentNode,
} from "urql";

const socket = createSocket({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
  lazy: true,
  retryAttempts: Infinity,
  connectionParams: { "x-waymark-via": "CONSOLE" },
});

export const client = new Client({
  url: "/graphql",
  preferGetMethod: false,
  fetchOptions: { headers: { "x-waymark-via": "CONSOLE" }, credentials: "same-origin" },
  requestPolicy: "network-only",
  exchanges: [
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: (operation) => ({
        subscribe: (sink) => ({
          unsubscribe: socket.subscribe(
            { query: operation.query ?? "", variables: operation.variables ?? {} },
            sink as never,
          ),
        }),
      }),
    }),
  ],
});

/** A failure as the API told it. */
export class Failure extends Error {
  readonly code: string;
  readonly extensions: Record<string, unknown>;

  constructor(message: string, extensions: Record<string, unknown> = {}) {
    super(message);
    this.code = typeof extensions.code === "string" ? extensions.code : "UNREACHABLE";
    this.extensions = extensions;
  }

  static of(error: CombinedError): Failure {
    const [first] = error.graphQLErrors;
    if (first) return new Failure(first.message, first.extensions as Record<string, unknown>);
    const status = (error.response as Response | undefined)?.status;
    return status === 401
      ? new Failure("You are signed out.", { code: "UNAUTHENTICATED" })
      : new Failure("The server cannot be reached. What you entered is still here; try again.");
  }
}

let signedOut: () => void = () => undefined;

/** Says what to do when the session has ended. */
export function onSignedOut(act: () => void): void {
  signedOut = act;
}

export async function ask<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const result = await client.query(document, variables).toPromise();
  return taken(result);
}

export async function change<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const result = await client.mutation(document, variables).toPromise();
  return taken(result);
}

function taken<Data>(result: { data?: Data | undefined; error?: CombinedError | undefined }): Data {
  if (result.error) {
    const failure = Failure.of(result.error);
    if (failure.code === "UNAUTHENTICATED") signedOut();
    throw failure;
  }
  if (result.data === undefined) throw new Failure("The server gave no answer.");
  return result.data;
}

const followers = new Set<() => void>();

// a subscription does not tell when it has begun: soon as a rule, and after the last of these milliseconds surely
const BEGUN = [500, 3000];

/** Calls `heard` with every event; with null when some may have been missed, as from before it began, or while cut off. */
export function follow<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  heard: (event: Data | null) => void,
): () => void {
  let timers: ReturnType<typeof setTimeout>[] = [];
  const forgetTimers = () => timers.forEach(clearTimeout);
  const catchUp = () => {
    forgetTimers();
    timers = BEGUN.map((delay) => setTimeout(() => heard(null), delay));
  };
  const listen = () => {
    catchUp();
    return client.subscription(document, variables).subscribe(({ data }) => data && heard(data)).unsubscribe;
  };
  let stop = listen();
  const resume = () => {
    stop();
    stop = listen();
  };
  followers.add(resume);
  const forget = socket.on("connected", catchUp);
  return () => {
    forgetTimers();
    stop();
    forget();
    followers.delete(resume);
  };
}

export async function isSignedIn(): Promise<boolean> {
  const response = await fetch("/session").catch(() => null);
  if (!response?.ok) throw new Failure("The server cannot be reached.");
  return (await response.json()).signedIn;
}

export async function signIn(token: string): Promise<void> {
  let response: Response;
  try {
    response = await fetch("/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
  } catch {
    throw new Failure("The server cannot be reached.");
  }
  if (!response.ok) {
    const body = await response.json();
    throw new Failure(body.errors[0].message, body.errors[0].extensions);
  }
  for (const resume of followers) resume();
}

export async function signOut(): Promise<void> {
  await fetch("/session", { method: "DELETE" });
  socket.terminate();
}
