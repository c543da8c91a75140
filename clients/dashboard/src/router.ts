// Addresses of pages, and the way between them without loading all anew.
import { useEffect, useState } from "preact/hooks";

export type Route =
  | { page: "home" | "jobs" | "cases" | "validators" | "models" | "market" | "leases" | "requests" | "economics" | "status" | "missing" }
  | { page: "job" | "case" | "validator" | "model" | "lease" | "request" | "provider"; id: string };

const PLAIN = new Map<string, Route>([
  ["", { page: "home" }],
  ["jobs", { page: "jobs" }],
  ["cases", { page: "cases" }],
  ["disputes", { page: "cases" }],
  ["validators", { page: "validators" }],
  ["models", { page: "models" }],
  ["market", { page: "market" }],
  ["providers", { page: "market" }],
  ["leases", { page: "leases" }],
  ["requests", { page: "requests" }],
  ["economics", { page: "economics" }],
  ["status", { page: "status" }],
]);

const KINDS = { jobs: "job", cases: "case", disputes: "case", validators: "validator", models: "model", leases: "lease", requests: "request", providers: "provider" } as const;

/** 32 bytes in base58. */
export const isKey = (text: string): boolean => /^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(text);

function named(kind: string | undefined, part: string | undefined): Route | null {
  if (kind === undefined || part === undefined || !Object.hasOwn(KINDS, kind)) return null;
  const page = KINDS[kind as keyof typeof KINDS];
  let id: string;
  try {
    id = decodeURIComponent(part);
  } catch {
    return null;
  }
  if (page === "job") id = id.replace(/^chatcmpl-/, "");
  return page === "model" || isKey(id) ? { page, id } : null;
}

/** What an address shows. */
export function route(pathname: string): Route {
  const parts = pathname.replace(/\/+$/, "").split("/").slice(1);
  const found = parts.length <= 1 ? PLAIN.get(parts[0] ?? "") : parts.length === 2 ? named(parts[0], parts[1]) : null;
  return found ?? { page: "missing" };
}

/** The address of an account's page. */
export const to = (kind: keyof typeof KINDS, id: string): string => "/" + kind + "/" + encodeURIComponent(id);

/** A query as it stands in an address, without what is empty. */
export function query(fields: Record<string, string | number | null | undefined>): string {
  const filled = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return filled.length ? "?" + new URLSearchParams(filled.map(([name, value]) => [name, String(value)])) : "";
}

const moved = new EventTarget();
let moves = 0;

/** Whether the reader came to this page from another one, without loading it. */
export const hasMoved = (): boolean => moves > 0;

export function navigate(address: string): void {
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  moves++;
  moved.dispatchEvent(new Event("moved"));
}

/** Whether a click on a link is one that the pages answer themselves. */
export function isOurs(event: MouseEvent, link: HTMLAnchorElement): boolean {
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey && !event.defaultPrevented;
  return plain && link.origin === location.origin && !link.hash && !link.target && !link.hasAttribute("download") && route(link.pathname).page !== "missing";
}

/** The address that is shown. */
export function useAddress(): { pathname: string; search: string } {
  const read = (): { pathname: string; search: string } => ({ pathname: location.pathname, search: location.search });
  const [address, set] = useState(read);
  useEffect(() => {
    const update = (): void => set(read());
    const back = (): void => {
      moves++;
      update();
    };
    const click = (event: MouseEvent): void => {
      const link = event.target instanceof Element ? event.target.closest("a") : null;
      if (!(link instanceof HTMLAnchorElement) || !isOurs(event, link)) return;
      event.preventDefault();
      navigate(link.pathname + link.search);
      scrollTo(0, 0);
    };
    addEventListener("popstate", back);
    moved.addEventListener("moved", update);
    document.addEventListener("click", click);
    return () => {
      removeEventListener("popstate", back);
      moved.removeEventListener("moved", update);
      document.removeEventListener("click", click);
    };
  }, []);
  return address;
}
