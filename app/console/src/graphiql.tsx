/** GraphiQL with the session's access; its editor and workers come from this server too. */
import "graphiql/setup-workers/vite";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import "./graphiql.css";

const socket = createClient({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
  connectionParams: { "x-waymark-via": "CONSOLE" },
});
const fetcher = createGraphiQLFetcher({ url: "/graphql", headers: { "x-waymark-via": "CONSOLE" }, wsClient: socket });

const examples = [
  {
    query: `# Move an alias. Ids of projects: { viewer { projects { nodes { id slug } } } }
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
`,
    variables: JSON.stringify({ input: { project: "…", name: "model-prod", datum: "datum://model-staging", reason: "better on the test set" } }, null, 2),
  },
  {
    query: `# Create an execution; its inputs are pinned to the files that the references mean now.
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
`,
    variables: JSON.stringify({ input: { project: "…", command: ["cat $VH_INPUTS_DIR/model/*"], inputs: [{ name: "model", references: ["datum://model-prod"] }] } }, null, 2),
  },
  {
    query: `# The history of an alias, the newest change first.
query History($project: String!, $alias: String!) {
  project(slug: $project) {
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

# Run this one to see changes as they come.
subscription Changes($id: ID!) {
  aliasChanged(project: $id) {
    version
    alias {
      name
    }
    to {
      name
    }
  }
}
`,
    variables: JSON.stringify({ project: "default", alias: "model-prod" }, null, 2),
  },
];

const root = document.getElementById("root");
if (!root) throw new Error("The page has no place for GraphiQL.");
createRoot(root).render(
  <>
    <nav aria-label="Waymark"><a href="/">Waymark</a></nav>
    <GraphiQL fetcher={fetcher} defaultTabs={examples} shouldPersistHeaders={false} />
  </>,
);
