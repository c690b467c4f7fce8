/** GraphiQL with the session's access; its editor and workers come from this server too. */
import "graphiql/setup-workers/vite";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import { ask, isSignedIn } from "./api.ts";
import "./graphiql.css";
import { VIEWER } from "./session.ts";

const socket = createClient({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
  connectionParams: { "x-waymark-via": "CONSOLE" },
});
const fetcher = createGraphiQLFetcher({ url: "/graphql", headers: { "x-waymark-via": "CONSOLE" }, wsClient: socket });

const MOVE = `# Move an alias: point model-prod at the file that model-staging points at now.
mutation MoveAlias($input: SetAliasInput!) {
  setAlias(input: $input) {
    changed
    alias {
      name
      version
      datum {
        id
        name
      }
    }
  }
}
`;
const CREATE = `# Create an execution.
# Its inputs are pinned to the files that the references mean now.
mutation CreateExecution($input: CreateExecutionInput!) {
  createExecution(input: $input) {
    execution {
      number
      status
      inputs {
        name
        files {
          nodes {
            reference
            aliasVersion
            datum {
              id
              name
            }
          }
        }
      }
    }
  }
}
`;
const HISTORY = `# The history of an alias, the newest change first.
query History($project: ID!, $alias: String!) {
  project(id: $project) {
    alias(name: $alias) {
      version
      history(first: 20) {
        nodes {
          version
          kind
          at
          from {
            name
          }
          to {
            name
          }
          actor {
            name
          }
          via
          reason
        }
      }
    }
  }
}

# Changes of aliases, as they come.
subscription Changes($project: ID!) {
  aliasChanged(project: $project) {
    version
    alias {
      name
    }
    to {
      name
    }
  }
}
`;

/** The three examples, for the first project that there is. */
async function examples() {
  const { viewer } = await ask(VIEWER, {});
  const project = viewer.projects.nodes[0]?.id ?? "";
  const tab = (query: string, variables: object) => ({ query, variables: JSON.stringify(variables, null, 2) });
  return [
    tab(MOVE, {
      input: { project, name: "model-prod", datum: "datum://model-staging", reason: "better on the test set" },
    }),
    tab(CREATE, {
      input: {
        project,
        command: ["cat $VH_INPUTS_DIR/model/*"],
        inputs: [{ name: "model", references: ["datum://model-prod"] }],
      },
    }),
    tab(HISTORY, { project, alias: "model-prod" }),
  ];
}

async function show(root: HTMLElement) {
  createRoot(root).render(
    <>
      <nav aria-label="Waymark">
        <a href="/">Waymark</a>
      </nav>
      <main>
        <GraphiQL fetcher={fetcher} defaultTabs={await examples()} shouldPersistHeaders={false}>
          {/* its own leads to another host */}
          <GraphiQL.Logo>
            <h1>GraphiQL</h1>
          </GraphiQL.Logo>
        </GraphiQL>
      </main>
    </>,
  );
}

const root = document.getElementById("root");
if (!root) throw new Error("The page has no place for GraphiQL.");
if (await isSignedIn()) void show(root);
else location.replace("/sign-in?next=graphiql");
