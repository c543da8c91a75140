// The SQL behind figures: the questions of sql/examples as they are tested, and one row of a view by its key.
import { isKey } from "./router";

const files = import.meta.glob<string>("../../../sql/examples/*.sql", { query: "?raw", import: "default", eager: true });

/** A question of sql/examples by the name of its file. */
export function question(name: string): string {
  const text = files[`../../../sql/examples/${name}.sql`];
  if (text === undefined) throw new Error(`no sql/examples/${name}.sql`);
  return text.trim();
}

/** Rows of a view whose key has a value; null for what is no key. */
export function rowsOf(view: string, key: string, value: string, order?: string): string | null {
  if (!isKey(value)) return null;
  return `SELECT * FROM analytics.${view}_processed\nWHERE ${key} = '${value}'${order ? `\nORDER BY ${order}` : ""};`;
}
