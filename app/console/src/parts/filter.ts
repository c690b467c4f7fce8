/** The data view's filter, as it stands in the address bar. */

export interface DataFilter {
  text: string;
  tags: string[];
  properties: Record<string, unknown>;
  origin: "UPLOAD" | "EXECUTION" | "ADOPTED" | "";
  store: string;
  since: string;
  until: string;
}

const origins = ["UPLOAD", "EXECUTION", "ADOPTED"] as const;

export function readFilter(search: URLSearchParams): DataFilter {
  const origin = search.get("origin") ?? "";
  return {
    text: search.get("q") ?? "",
    tags: search.getAll("tag"),
    properties: Object.fromEntries(search.getAll("property").map(splitProperty)),
    origin: origins.find((each) => each === origin) ?? "",
    store: search.get("store") ?? "",
    since: day(search.get("since")),
    until: day(search.get("until")),
  };
}

export function writeFilter(filter: DataFilter): URLSearchParams {
  const search = new URLSearchParams();
  if (filter.text) search.set("q", filter.text);
  for (const tag of filter.tags) search.append("tag", tag);
  for (const property of Object.entries(filter.properties)) search.append("property", joinProperty(property));
  for (const name of ["origin", "store", "since", "until"] as const) if (filter[name]) search.set(name, filter[name]);
  return search;
}

function day(text: string | null): string {
  return text && /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) ? text : "";
}

/** `key=value`, the value as JSON or as text. */
export function splitProperty(text: string): [string, unknown] {
  const at = text.indexOf("=");
  const [name, value] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}

export function joinProperty([name, value]: [string, unknown]): string {
  return `${name}=${JSON.stringify(value)}`;
}

/** What is separated by commas. */
export function splitList(text: string): string[] {
  return text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);
}

/** As the API takes it. Days are whole ones of this machine's zone. */
export function asInput(filter: DataFilter) {
  const createdAt = {
    ...(filter.since ? { gte: new Date(`${filter.since}T00:00:00`).toISOString() } : {}),
    ...(filter.until ? { lt: dayAfter(filter.until) } : {}),
  };
  return {
    ...(filter.text ? { text: filter.text } : {}),
    ...(filter.tags.length ? { tagsAll: filter.tags } : {}),
    ...(Object.keys(filter.properties).length ? { properties: filter.properties } : {}),
    ...(filter.origin ? { origin: filter.origin } : {}),
    ...(filter.store ? { store: filter.store } : {}),
    ...(Object.keys(createdAt).length ? { createdAt } : {}),
  };
}

function dayAfter(day: string): string {
  const date = new Date(`${day}T00:00:00`);
  date.setDate(date.getDate() + 1);
  return date.toISOString();
}
