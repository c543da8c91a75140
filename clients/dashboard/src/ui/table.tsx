// Tables that are lists of cards on a phone, lists with filters in the address, and pages of them.
import type { ComponentChildren, JSX } from "preact";
import { navigate, query } from "../router";

export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  number?: boolean;
}

export const column = <T,>(name: string, cell: (row: T) => ComponentChildren): Column<T> => ({ name, cell });
export const number = <T,>(name: string, cell: (row: T) => ComponentChildren): Column<T> => ({ name, cell, number: true });

interface Props<T> {
  /** What the table is, for those who do not see it. */
  label: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  /** Said where there is no row. */
  none: string;
}

/** The roles are written down because a phone's layout takes them away. */
export function Table<T>({ label, columns, rows, id, none }: Props<T>): JSX.Element {
  if (rows.length === 0) return <p class="card none">{none}</p>;
  return (
    <div class="wrap" tabIndex={0} role="group" aria-label={label}>
      <table role="table" aria-label={label}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map(({ name, number }) => <th key={name} scope="col" role="columnheader" class={number ? "n" : ""}>{name}</th>)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={id(row)} role="row">
              {columns.map(({ name, cell, number }) => <td key={name} role="cell" class={number ? "n" : ""} data-label={name}>{cell(row)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export interface Field {
  name: string;
  label: string;
  /** Words to choose from; a text without. */
  options?: string[];
}

/** What the address asks a list for: the fields of its filter, and the row to go on after. */
export function asked(search: string, fields: Field[]): { filter: Record<string, string>; after: string | null } {
  const found = new URLSearchParams(search);
  const filter: Record<string, string> = {};
  for (const { name } of fields) {
    const value = found.get(name)?.trim();
    if (value) filter[name] = value.slice(0, 200);
  }
  return { filter, after: found.get("after")?.slice(0, 200) ?? null };
}

export function Filter({ path, fields, filter }: { path: string; fields: Field[]; filter: Record<string, string> }): JSX.Element {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    navigate(path + query(Object.fromEntries(fields.map(({ name }) => [name, String(form.get(name) ?? "").trim()]))));
  };
  return (
    <form class="filter" role="search" aria-label="Filter" onSubmit={submit}>
      {fields.map(({ name, label, options }) => (
        <label key={name}>
          {label}
          {options ? (
            <select name={name}>
              <option value="" selected={!filter[name]}>any</option>
              {options.map((option) => <option key={option} value={option} selected={filter[name] === option}>{option}</option>)}
            </select>
          ) : (
            <input key={filter[name]} name={name} defaultValue={filter[name] ?? ""} maxLength={200} autocomplete="off" spellcheck={false} />
          )}
        </label>
      ))}
      <button type="submit">Show</button>
      {Object.keys(filter).length ? <a href={path}>all</a> : null}
    </form>
  );
}

interface PagerProps {
  path: string;
  filter: Record<string, string>;
  after: string | null;
  /** The row after which the next page begins; null on the last. */
  next: string | null;
}

export function Pager({ path, filter, after, next }: PagerProps): JSX.Element | null {
  if (after === null && next === null) return null;
  return (
    <nav class="pager" aria-label="Pages of the list">
      {after === null ? null : <a href={path + query(filter)}>newest</a>}
      {next === null ? null : <a href={path + query({ ...filter, after: next })}>older</a>}
    </nav>
  );
}
