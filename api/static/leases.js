// The list of leases, by what the address asks for.
import { get, leasesTable, listed, live } from "./page.js";

const list = listed(["accepted", "started", "active", "closing", "ended"], ["status", "commitment", "provider", "tenant", "class"]);

const fill = async () => {
  const leases = await get("/v1/leases?" + list.query());
  leasesTable("leases", leases.data, list.asked.size ? "no lease is like this" : "no lease yet");
  list.turn(leases);
};

live(fill, "", "leases,network");
