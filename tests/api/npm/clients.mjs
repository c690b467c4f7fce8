// Drives a server with urql and graphql-ws and prints what they got as JSON: node clients.mjs URL TOKEN PROJECT DATUM
import { cacheExchange, Client, fetchExchange, gql, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';

const [url, token, project, datum] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const VIEWER = gql`{ viewer { name } }`;
const SET = gql`mutation ($input: SetAliasInput!) { setAlias(input: $input) { changed change { id } } }`;
const CHANGED = `subscription ($project: ID!, $after: ID) {
  aliasChanged(project: $project, after: $after) { alias { name } }
}`;

const found = {};
const settle = (result) => result.data ?? String(result.error);
const move = async (client, name) =>
  (await client.mutation(SET, { input: { project, name, datum } }).toPromise()).data.setAlias;
const first = (source) =>
  new Promise((resolve) => {
    const { unsubscribe } = source.subscribe((result) => {
      resolve(settle(result));
      setTimeout(() => unsubscribe());
    });
  });

// urql alone: queries, mutations, and subscriptions as server-sent events
const options = { url: `${url}/graphql`, preferGetMethod: false, fetchOptions: { headers: { authorization } } };
const alone = new Client({ ...options, exchanges: [cacheExchange, fetchExchange], fetchSubscriptions: true });
found.query = settle(await alone.query(VIEWER, {}).toPromise());
found.queryByGet = settle(await alone.query(VIEWER, {}, { preferGetMethod: 'force', requestPolicy: 'network-only' }).toPromise());
found.refused = (await alone.query(gql`{ resolve(project: "no", reference: "no") { version } }`, {}).toPromise())
  .error.graphQLErrors[0].extensions.code;
const start = await move(alone, 'start');
found.mutation = start.changed;
const after = start.change.id;
await move(alone, 'by-events');
found.events = await first(alone.subscription(CHANGED, { project, after }));

// urql with graphql-ws underneath
const socket = createClient({ url: `${url.replace('http', 'ws')}/graphql`, connectionParams: { authorization } });
const forwardSubscription = ({ query, variables }) => ({
  subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
});
const both = new Client({
  ...options,
  exchanges: [cacheExchange, fetchExchange, subscriptionExchange({ forwardSubscription })],
});
found.webSocket = await first(both.subscription(CHANGED, { project, after }));

// graphql-ws alone
const results = socket.iterate({ query: CHANGED, variables: { project, after } });
found.graphqlWs = (await results.next()).value;
await results.return();
found.graphqlWsQuery = (await socket.iterate({ query: '{ viewer { name } }' }).next()).value;
await socket.dispose();

const refused = createClient({
  url: `${url.replace('http', 'ws')}/graphql`,
  connectionParams: { authorization: 'Bearer wrong' },
  retryAttempts: 0,
});
found.wrongToken = await refused.iterate({ query: '{ viewer { name } }' }).next().catch((event) => event.code);

console.log(JSON.stringify(found));
process.exit(0);
