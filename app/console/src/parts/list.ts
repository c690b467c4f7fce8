/** A keyset-paged list, as far as it was loaded. */

export interface Page<Item> {
  nodes: readonly Item[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

export interface List<Item> {
  items: readonly Item[];
  cursor: string | null;
  hasMore: boolean;
}

/** The page of a list that is not there. */
export const NOTHING = { nodes: [], pageInfo: { hasNextPage: false, endCursor: null } };

/** The list with the page that comes after it. */
export function longer<Item>(list: List<Item> | undefined, page: Page<Item>): List<Item> {
  return {
    items: [...(list?.items ?? []), ...page.nodes],
    cursor: page.pageInfo.endCursor,
    hasMore: page.pageInfo.hasNextPage,
  };
}

/** The list with its first page loaded anew; what follows that stays, so that nobody who scrolled far is thrown back. */
export function renewed<Item extends { id: string }>(list: List<Item> | undefined, page: Page<Item>): List<Item> {
  const last = page.nodes.at(-1);
  const end = last && page.pageInfo.hasNextPage ? (list?.items.findIndex((each) => each.id === last.id) ?? -1) : -1;
  const rest = list && end >= 0 ? list.items.slice(end + 1) : [];
  if (!list || rest.length === 0) return longer(undefined, page);
  return { ...list, items: [...page.nodes, ...rest] };
}

/** The last few lists, for who comes back to one. */
export class Memory {
  private readonly lists = new Map<string, List<unknown>>();
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  get<Item>(key: string): List<Item> | undefined {
    return this.lists.get(key) as List<Item> | undefined;
  }

  keep(key: string, list: List<unknown>): void {
    this.lists.delete(key);
    this.lists.set(key, list);
    const [oldest] = this.lists.keys();
    if (this.lists.size > this.most && oldest !== undefined) this.lists.delete(oldest);
  }

  clear(): void {
    this.lists.clear();
  }
}
