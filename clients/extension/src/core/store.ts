/** Typed reads and writes of what is stored. Of what is damaged, the harmless default is taken: no site connected, nothing allowed. */

import type { Area } from "../areas";
import {
  type Accounts,
  DEFAULT_NETWORKS,
  DEFAULT_SETTINGS,
  isAccounts,
  isNetworks,
  isRequest,
  isSettings,
  isSites,
  isWallet,
  type Networks,
  type RequestRecord,
  type Settings,
  type Sites,
  type WalletRecord,
} from "./records";

const REQUEST = "request:";

export class Store {
  readonly area: Area;

  constructor(area: Area) {
    this.area = area;
  }

  /** `damaged`: there is something, and it is no wallet. */
  async wallet(): Promise<WalletRecord | "none" | "damaged"> {
    const found = await this.area.get("wallet");
    if (found === undefined) return "none";
    return isWallet(found) ? found : "damaged";
  }

  async accounts(): Promise<Accounts | null> {
    const found = await this.area.get("accounts");
    return isAccounts(found) ? found : null;
  }

  async networks(): Promise<Networks> {
    const found = await this.area.get("networks");
    return isNetworks(found) ? found : DEFAULT_NETWORKS;
  }

  async settings(): Promise<Settings> {
    const found = await this.area.get("settings");
    return isSettings(found) ? found : DEFAULT_SETTINGS;
  }

  async sites(): Promise<Sites> {
    const found = await this.area.get("sites");
    return isSites(found) ? found : {};
  }

  async request(id: string): Promise<RequestRecord | null> {
    const found = await this.area.get(REQUEST + id);
    return isRequest(found) ? found : null;
  }

  /** Oldest first. */
  async requests(): Promise<RequestRecord[]> {
    const found = [...(await this.area.all(REQUEST)).values()].filter(isRequest);
    return found.sort((a, b) => a.created - b.created);
  }

  put(request: RequestRecord): Promise<void> {
    return this.area.set(REQUEST + request.id, request);
  }

  forget(ids: readonly string[]): Promise<void> {
    return this.area.remove(ids.map((id) => REQUEST + id));
  }

  set<Name extends "accounts" | "networks" | "settings" | "sites">(
    name: Name,
    value: { accounts: Accounts; networks: Networks; settings: Settings; sites: Sites }[Name],
  ): Promise<void> {
    return this.area.set(name, value);
  }
}
