/** What a site may do, decided from what is written down about it; pure. */

import type { Site } from "./records";

/** Requests of one site that may wait at once. */
export const MOST_WAITING = 3;
/** And of all sites together. */
export const MOST_WAITING_IN_ALL = 20;
/** Refusals in `PATIENCE_MS` after which a site is not listened to for a while. */
const PATIENCE = 3;
const PATIENCE_MS = 10 * 60_000;
const FIRST_QUIET_MS = 60_000;
const LONGEST_QUIET_MS = 24 * 60 * 60_000;

export const newSite = (now: number): Site => ({ accounts: [], since: now, blocked: false, refusals: [], quietUntil: 0 });

/** Why a site may not ask now; null if it may. */
export function refusalOf(site: Site | undefined, waiting: number, now: number): string | null {
  if (site?.blocked) return "this site is blocked in the wallet";
  // One that is set further away was set by a clock that was ahead.
  if (site && site.quietUntil > now && site.quietUntil - now <= LONGEST_QUIET_MS) return "this site asked too often and was refused: it may ask again later";
  return waiting >= MOST_WAITING ? `${MOST_WAITING} requests of this site wait already` : null;
}

/** The site after somebody refused it: who asks again and again is not listened to, each time for twice as long. */
export function refused(site: Site, now: number): Site {
  // A clock that was set back must not make old refusals count for ever.
  const recent = site.refusals.filter((at) => at <= now && now - at < PATIENCE_MS);
  const refusals = [...recent, now].slice(-16);
  if (refusals.length < PATIENCE) return { ...site, refusals };
  const quiet = Math.min(LONGEST_QUIET_MS, FIRST_QUIET_MS * 2 ** (refusals.length - PATIENCE));
  return { ...site, refusals, quietUntil: now + quiet };
}

/** The site after somebody let it do what it asked. */
export const trusted = (site: Site): Site => ({ ...site, refusals: [], quietUntil: 0 });

export const sees = (site: Site | undefined, account: string): boolean => site !== undefined && !site.blocked && site.accounts.includes(account);
